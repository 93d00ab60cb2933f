"""Compiled kernels that compute the ranker's inputs from a version's arrays. Never holds a weight.

served_model.py calls them, and co_visits.py `transition_shares`. Shapes: N candidates, by slots of S; V visits; L
levels of K codes; E dimensions of the model's space.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, FLOATS_2D, FLOATS_3D, INTEGERS, kernel

Floats = NDArray[np.float32]
Codes = NDArray[np.int16]

LEARNED, EXTRA = 4, 8  # columns of config.LEARNED, and of config.EXTRA without the content gate, a room's own
ONE, NONE = np.float32(1), np.float32(0)


@kernel()
def summarise_past(
    vectors_VE: Floats, content_VE: Floats, static_VL: Codes, labels_V2: NDArray[np.int32], code_LKE: Floats
) -> tuple[Floats, Floats, Floats, NDArray[np.int32]]:
    """Summaries of the V rooms visited, for the viewer tower and the ranker.

    Returns the viewer tower's input [V, E]; the mean of the content [E], of unit length; products of each code's
    embedding with the mean of the visited ones [L, K]; and marks to compare with a candidate's, int32 [4, V]: first
    code, first two codes, language, category, −1 for unknown.
    """
    V, E = vectors_VE.shape
    L, K, _ = code_LKE.shape
    item_VE, mean_1E, code_1E = vectors_VE.copy(), np.zeros((1, E), np.float32), np.zeros((1, E), np.float32)
    marks_4V = np.empty((4, V), np.int32)
    for v in range(V):
        for level in range(L):
            code = static_VL[v, level]
            for e in range(E):
                item_VE[v, e] += code_LKE[level, code, e]
                code_1E[0, e] += code_LKE[level, code, e]
        for e in range(E):
            mean_1E[0, e] += content_VE[v, e]
        marks_4V[0, v], marks_4V[1, v] = static_VL[v, 0], static_VL[v, 0] * K + static_VL[v, min(1, L - 1)]
        marks_4V[2, v], marks_4V[3, v] = labels_V2[v, 0] or -1, labels_V2[v, 1] or -1
    squares = NONE
    for e in range(E):
        squares += mean_1E[0, e] * mean_1E[0, e]
    mean_1E /= max(np.float32(sqrt(squares)), np.float32(1e-12))
    product_LK = np.empty((L, K), np.float32)
    for level in range(L):
        for code in range(K):
            total = NONE
            for e in range(E):
                total += code_LKE[level, code, e] * code_1E[0, e]
            product_LK[level, code] = total / np.float32(V)
    return item_VE, mean_1E[0], product_LK, marks_4V


@kernel()
def find_streamer(streamer_X: NDArray[np.int32], start: int, end: int, streamer: int) -> int:
    """The place of a streamer in [start, end) of streamer_X, which ascends there; −1 where it is not."""
    low, high = start, end
    while low < high:
        middle = (low + high) // 2
        if streamer_X[middle] < streamer:
            low = middle + 1
        else:
            high = middle
    return low if low < end and streamer_X[low] == streamer else -1


@kernel()
def transition_shares(
    streamer_N: NDArray[np.int32],
    last: int,
    known_H: NDArray[np.int64],
    transition_S: NDArray[np.int64],
    transition_X: NDArray[np.int32],
    transition_X2: Floats,
    covisit_S: NDArray[np.int64],
    covisit_X: NDArray[np.int32],
    covisit_X1: Floats,
) -> Floats:
    """Transition and co-visit features of N rooms' streamers, float32 [N, 4], columns as config.LEARNED.

    Shares of transitions are among these rooms. last: the streamer that the viewer was with, 0 for none. known_H: the
    streamers they know that have co-visits.
    """
    columns_N4 = np.zeros((len(streamer_N), LEARNED), np.float32)
    moves = first_moves = NONE
    for n in range(len(streamer_N)):
        x = find_streamer(transition_X, transition_S[last], transition_S[last + 1], streamer_N[n]) if last else -1
        if x >= 0:
            columns_N4[n, 0], columns_N4[n, 1] = transition_X2[x, 0], transition_X2[x, 1]
            moves += transition_X2[x, 0]
            first_moves += transition_X2[x, 1]
        for h in range(len(known_H)):
            x = find_streamer(covisit_X, covisit_S[known_H[h]], covisit_S[known_H[h] + 1], streamer_N[n])
            if x >= 0:
                columns_N4[n, 2] += covisit_X1[x, 0]
                columns_N4[n, 3] = max(columns_N4[n, 3], covisit_X1[x, 0])
        columns_N4[n, 2] /= np.float32(max(len(known_H), 1))
    for n in range(len(streamer_N)):
        columns_N4[n, 0] /= max(moves, ONE)
        columns_N4[n, 1] /= max(first_moves, ONE)
    return columns_N4


@kernel()
def candidate_values(
    slots_N: NDArray[np.int64],
    viewer_features_NP: Floats,
    learned_N4: Floats,
    vectors_SE: Floats,
    content_SE: Floats,
    static_SL: Codes,
    dynamic_SL: Codes,
    labels_S2: NDArray[np.int32],
    vector_E: Floats,
    content_E: Floats,
    product_LK: Floats,
    marks_4V: NDArray[np.int32],
) -> Floats:
    """The ranker's inputs of N candidates that differ by viewer, float32 [N, F].

    Columns: viewer features, then config.LEARNED, then config.EXTRA without the content gate. The rooms' vectors,
    content, codes and labels are by slots of S; the viewer's are as `summarise_past` returns them.
    """
    N, P = viewer_features_NP.shape
    L, K = product_LK.shape
    V = marks_4V.shape[1]
    values_NF = np.empty((N, P + LEARNED + EXTRA), np.float32)
    values_NF[:, :P] = viewer_features_NP
    values_NF[:, P : P + LEARNED] = learned_N4
    for n in range(N):
        slot = slots_N[n]
        dot = alike = code_dot = NONE
        for e in range(len(content_E)):
            dot += vectors_SE[slot, e] * vector_E[e]
            alike += content_SE[slot, e] * content_E[e]
        for level in range(L):
            code_dot += product_LK[level, static_SL[slot, level]]
        first = static_SL[slot, 0]
        both = first * K + static_SL[slot, min(1, L - 1)]
        one = two = now = language = category = 0
        for v in range(V):
            one += marks_4V[0, v] == first
            two += marks_4V[1, v] == both
            now += marks_4V[0, v] == dynamic_SL[slot, 0]
            language += marks_4V[2, v] == labels_S2[slot, 0]
            category += marks_4V[3, v] == labels_S2[slot, 1]
        extra_X = values_NF[n, P + LEARNED :]
        visits = np.float32(max(V, 1))
        extra_X[0], extra_X[1], extra_X[5] = dot, alike, code_dot
        extra_X[2], extra_X[3], extra_X[4] = one / visits, two / visits, now / visits
        extra_X[6], extra_X[7] = language / visits, category / visits
    return values_NF


def signatures() -> dict[Any, Any]:
    """The kernels that Python calls, with the types of their arguments, for `compiling.load`."""
    codes, marks, rows = types.int16[:, ::1], types.int32[:, ::1], types.int32[::1]
    sparse = (INTEGERS, rows, FLOATS_2D)
    rooms, viewer = (FLOATS_2D, FLOATS_2D, codes, codes, marks), (FLOATS, FLOATS, FLOATS_2D, marks)
    return {
        summarise_past: (FLOATS_2D, FLOATS_2D, codes, marks, FLOATS_3D),
        transition_shares: (rows, types.int64, INTEGERS, *sparse, *sparse),
        candidate_values: (INTEGERS, FLOATS_2D, FLOATS_2D, *rooms, *viewer),
    }
