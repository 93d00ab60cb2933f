"""Owns the compiled arithmetic between a version's arrays and its networks' inputs. Never holds a weight.

Called by version.py alone. Shapes: N candidates, by slots of S; V visits; L levels of K codes; E the model's space.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.compiling import FLOATS, FLOATS_2D, FLOATS_3D, INTEGERS, kernel

Floats = NDArray[np.float32]
Codes = NDArray[np.int16]

LEARNED, EXTRA = 4, 8  # columns of model_config.LEARNED, and of EXTRA without the gate, which is prepared
ONE, NONE = np.float32(1), np.float32(0)


@kernel()
def remembered(vectors_VE: Floats, content_VE: Floats, static_VL: Codes, code_LKE: Floats) -> tuple[Floats, Floats]:
    """[V, E] what the viewer tower reads; [2, E] mean of the content, of length one, and of the codes' embeddings."""
    V, E = vectors_VE.shape
    item_VE, means_2E = vectors_VE.copy(), np.zeros((2, E), np.float32)
    for v in range(V):
        for level in range(static_VL.shape[1]):
            code = static_VL[v, level]
            for e in range(E):
                item_VE[v, e] += code_LKE[level, code, e]
                means_2E[1, e] += code_LKE[level, code, e] / np.float32(V)
        for e in range(E):
            means_2E[0, e] += content_VE[v, e]
    squares = NONE
    for e in range(E):
        squares += means_2E[0, e] * means_2E[0, e]
    means_2E[0] /= max(np.float32(sqrt(squares)), np.float32(1e-12))
    return item_VE, means_2E


@kernel()
def pooled(code_LKE: Floats, mean_E: Floats) -> Floats:
    """[L, K] product of each code's embedding with the viewer's mean."""
    L, K, E = code_LKE.shape
    pooled_LK = np.empty((L, K), np.float32)
    for level in range(L):
        for code in range(K):
            total = NONE
            for e in range(E):
                total += code_LKE[level, code, e] * mean_E[e]
            pooled_LK[level, code] = total
    return pooled_LK


@kernel()
def found(streamer_X: NDArray[np.int32], start: int, end: int, streamer: int) -> int:
    """Where in [start, end), which ascends, a streamer is; −1 for nowhere."""
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        if streamer_X[middle] < streamer:
            low = middle + 1
        else:
            high = middle
    return low if low < end and streamer_X[low] == streamer else -1


@kernel()
def trails(
    streamer_N: NDArray[np.int32],
    last: int,
    known_H: NDArray[np.int64],
    moves_S: NDArray[np.int64],
    moves_X: NDArray[np.int32],
    moves_X2: Floats,
    shared_S: NDArray[np.int64],
    shared_X: NDArray[np.int32],
    shared_X1: Floats,
) -> Floats:
    """[N, 4] as model_config.LEARNED, of rooms' streamers; of the moves, the shares among these rooms.

    last: the streamer that the viewer was with, 0 for none. known_H: those that they know, who share viewers.
    """
    columns_N4 = np.zeros((len(streamer_N), LEARNED), np.float32)
    moves = first_moves = NONE
    for n in range(len(streamer_N)):
        x = found(moves_X, moves_S[last], moves_S[last + 1], streamer_N[n]) if last else -1
        if x >= 0:
            columns_N4[n, 0], columns_N4[n, 1] = moves_X2[x, 0], moves_X2[x, 1]
            moves += moves_X2[x, 0]
            first_moves += moves_X2[x, 1]
        for h in range(len(known_H)):
            x = found(shared_X, shared_S[known_H[h]], shared_S[known_H[h] + 1], streamer_N[n])
            if x >= 0:
                columns_N4[n, 2] += shared_X1[x, 0]
                columns_N4[n, 3] = max(columns_N4[n, 3], shared_X1[x, 0])
        columns_N4[n, 2] /= np.float32(max(len(known_H), 1))
    for n in range(len(streamer_N)):
        columns_N4[n, 0] /= max(moves, ONE)
        columns_N4[n, 1] /= max(first_moves, ONE)
    return columns_N4


@kernel()
def candidates(
    slots_N: NDArray[np.int64],
    personal_NP: Floats,
    learned_N4: Floats,
    dot_N: Floats,
    content_SE: Floats,
    static_SL: Codes,
    dynamic_SL: Codes,
    content_E: Floats,
    codes_VL: Codes,
    pooled_LK: Floats,
    labels_S2: NDArray[np.int32],
    labels_V2: NDArray[np.int32],
) -> Floats:
    """[N, F] personal features, then model_config.LEARNED's, then EXTRA's without the gate, which is prepared."""
    N, P = personal_NP.shape
    V, L = codes_VL.shape
    values_NF = np.empty((N, P + LEARNED + EXTRA), np.float32)
    values_NF[:, :P] = personal_NP
    values_NF[:, P : P + LEARNED] = learned_N4
    second = min(1, L - 1)
    for n in range(N):
        slot = slots_N[n]
        alike, code_dot = NONE, NONE
        for e in range(len(content_E)):
            alike += content_SE[slot, e] * content_E[e]
        for level in range(L):
            code_dot += pooled_LK[level, static_SL[slot, level]]
        one = two = now = language = category = 0
        for v in range(V):
            is_first = codes_VL[v, 0] == static_SL[slot, 0]
            one += is_first
            two += is_first and codes_VL[v, second] == static_SL[slot, second]
            now += codes_VL[v, 0] == dynamic_SL[slot, 0]
            language += labels_V2[v, 0] == labels_S2[slot, 0] != 0
            category += labels_V2[v, 1] == labels_S2[slot, 1] != 0
        extra_X = values_NF[n, P + LEARNED :]
        visits = np.float32(max(V, 1))
        extra_X[0], extra_X[1], extra_X[5] = dot_N[n], alike, code_dot
        extra_X[2], extra_X[3], extra_X[4] = one / visits, two / visits, now / visits
        extra_X[6], extra_X[7] = language / visits, category / visits
    return values_NF


def signatures() -> dict[Any, Any]:
    """Which kernels are called, for `compiling.load`, and with what."""
    codes, labels, rows = types.int16[:, ::1], types.int32[:, ::1], types.int32[::1]
    sparse = (INTEGERS, rows, FLOATS_2D)
    return {
        remembered: (FLOATS_2D, FLOATS_2D, codes, FLOATS_3D),
        pooled: (FLOATS_3D, FLOATS),
        trails: (rows, types.int64, INTEGERS, *sparse, *sparse),
        candidates: (
            INTEGERS,
            *[FLOATS_2D] * 2,
            FLOATS,
            FLOATS_2D,
            codes,
            codes,
            FLOATS,
            codes,
            FLOATS_2D,
            labels,
            labels,
        ),
    }
