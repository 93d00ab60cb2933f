"""Compiled kernels of the networks, in place of a hundred small numpy calls a request. Never holds a weight.

Equal to torch within rounding, by the tests of their callers (room_and_ranker.py, viewer_tower.py). Arrays are float32
and contiguous where nothing else is said.
"""

from __future__ import annotations

from math import cos, exp, log1p, pi, sin, sqrt
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, FLOATS_2D, FLOATS_3D, INTEGERS, kernel
from training.inference.packed_weights import PackedEnds, PackedHstu, PackedLru, PackedSoftmax
from training.viewer_config import HARMONICS, KNOT_STEP, KNOTS

Floats = NDArray[np.float32]

STEEP = np.float32(7.9)  # beyond it tanh is 1 in float32
HALF, ONE, NONE = np.float32(0.5), np.float32(1), np.float32(0)
EPSILON = np.float32(1e-5)  # torch.nn.LayerNorm's
# The terms of the ranker that another viewer changes, as `ranker_logits` has them, and the inputs that they read.
VIEWER_TERMS = ("visited", "content", "language", "category")
VISITED, CONTENT, LANGUAGE, CATEGORY = range(len(VIEWER_TERMS))
VIEWER_TERM_INPUTS = ("own_visits", "own_visit_age_s", "alike", "same_language", "same_category")
VISITS, VISIT_AGE_S, ALIKE, SAME_LANGUAGE, SAME_CATEGORY = range(len(VIEWER_TERM_INPUTS))
PER_KNOT, LAST_KNOT = np.float32(1 / KNOT_STEP), np.float32(KNOTS - 1.001)


@kernel()
def silu(x: np.float32) -> np.float32:
    """SiLU, x · sigmoid(x), as x/2 · (1 + tanh(x/2)).

    The tanh is Eigen's quotient of polynomials, which becomes SIMD code.
    """
    half = HALF * x
    if half < -STEEP:
        return NONE
    h = min(half, STEEP)
    s = h * h
    p = np.float32(-2.76076847742355e-16) * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06) * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return half + half * (h * p / q)


@kernel()
def silus(x_ND: Floats) -> None:
    """SiLU of each value, in place."""
    for n in range(x_ND.shape[0]):
        for d in range(x_ND.shape[1]):
            x_ND[n, d] = silu(x_ND[n, d])


@kernel()
def product(x_NK: Floats, weight_OK: Floats, bias_O: Floats, y_NO: Floats) -> None:
    """A linear layer, y = x · weightᵀ + bias, into y_NO.

    It takes two rows and four outputs at a time, as fast as BLAS at the sizes of one request.
    Where there is no second row or fourth output, the last one is computed again.
    """
    N, K = x_NK.shape
    O = weight_OK.shape[0]
    for n in range(0, N, 2):
        m = min(n + 1, N - 1)
        for o in range(0, O, 4):
            p, q, r = min(o + 1, O - 1), min(o + 2, O - 1), min(o + 3, O - 1)
            ao = ar = aq = ap = bo = bp = bq = br = NONE
            for k in range(K):
                a, b = x_NK[n, k], x_NK[m, k]
                wo, wp, wq, wr = weight_OK[o, k], weight_OK[p, k], weight_OK[q, k], weight_OK[r, k]
                ao += a * wo
                ap += a * wp
                aq += a * wq
                ar += a * wr
                bo += b * wo
                bp += b * wp
                bq += b * wq
                br += b * wr
            y_NO[n, o], y_NO[n, p], y_NO[n, q], y_NO[n, r] = ao, ap, aq, ar
            y_NO[m, o], y_NO[m, p], y_NO[m, q], y_NO[m, r] = bo, bp, bq, br
    y_NO += bias_O


@kernel()
def ranker_logits(
    sum_NO: Floats,
    values_NF: Floats,
    deep_IH: Floats,
    deep_bias_I: Floats,
    heads_TI: Floats,
    heads_bias_T: Floats,
    terms_4: Floats,
    column_5: NDArray[np.int64],
    half_life_s: float,
) -> Floats:
    """Logits of training/model/ranker.py's heads, float32 [N, T]: three, or four with one for leaving.

    sum_NO: sums for the first layer's units, for the heads' straight lines, and the rooms' term. terms_4: weights of
    VIEWER_TERMS. column_5: columns of values_NF with VIEWER_TERM_INPUTS. half_life_s: of the age of the last visit.
    Where there is no fourth head, the last one is computed again.
    """
    I, H = deep_IH.shape
    N, T = len(sum_NO), len(heads_TI)
    last = T - 1
    wide_NH, deep_NI = np.empty((N, H), np.float32), np.empty((N, I), np.float32)
    wide_NH[:] = sum_NO[:, :H]
    silus(wide_NH)
    product(wide_NH, deep_IH, deep_bias_I, deep_NI)
    silus(deep_NI)
    logit_NT = np.empty((N, T), np.float32)
    for n in range(N):
        enter, stay = heads_bias_T[0] + sum_NO[n, H + T], heads_bias_T[1]
        interact, leave = heads_bias_T[2], heads_bias_T[last]
        visits, age_s = values_NF[n, column_5[VISITS]], values_NF[n, column_5[VISIT_AGE_S]]
        alike = values_NF[n, column_5[ALIKE]]
        language, category = values_NF[n, column_5[SAME_LANGUAGE]], values_NF[n, column_5[SAME_CATEGORY]]
        if age_s == age_s:  # noqa: PLR0124  known
            enter += terms_4[VISITED] * visits / (visits + 2) * np.float32(2 ** (-age_s / half_life_s))
        enter += terms_4[CONTENT] * max(alike, NONE)
        enter += terms_4[LANGUAGE] * np.float32(sqrt(language)) + terms_4[CATEGORY] * np.float32(sqrt(category))
        for i in range(I):
            unit = deep_NI[n, i]
            enter += unit * heads_TI[0, i]
            stay += unit * heads_TI[1, i]
            interact += unit * heads_TI[2, i]
            leave += unit * heads_TI[last, i]
        logit_NT[n, 0] = enter + sum_NO[n, H]
        logit_NT[n, 1] = stay + sum_NO[n, H + 1]
        logit_NT[n, last] = leave + sum_NO[n, H + last]
        logit_NT[n, 2] = interact + sum_NO[n, H + 2]
    return logit_NT


@kernel()
def probabilities(logit_NT: Floats, temperature: float) -> Floats:
    """Probabilities, float32 [T, N]: of entering, which sum to one; of what the other heads say, each by itself."""
    N, T = logit_NT.shape
    share_TN = np.empty((T, N), np.float32)
    most, total = -np.inf, 0.0
    for n in range(N):
        most = max(most, float(logit_NT[n, 0]))
    for n in range(N):
        enter = exp((logit_NT[n, 0] - most) / temperature)
        total += enter
        share_TN[0, n] = enter
        for head in range(1, T):
            share_TN[head, n] = 1 / (1 + exp(-logit_NT[n, head]))
    share_TN[0] /= np.float32(total)
    return share_TN


@kernel()
def layer_norm(x_ND: Floats, z_ND: Floats) -> None:
    """Rows scaled to mean 0 and variance 1, like torch.nn.LayerNorm without its scale, into z_ND."""
    N, D = x_ND.shape
    for n in range(N):
        total = NONE
        for d in range(D):
            total += x_ND[n, d]
        mean, squares = total / np.float32(D), NONE
        for d in range(D):
            squares += (x_ND[n, d] - mean) * (x_ND[n, d] - mean)
        per = ONE / np.float32(sqrt(squares / np.float32(D) + EPSILON))
        for d in range(D):
            z_ND[n, d] = (x_ND[n, d] - mean) * per


@kernel()
def duration_knot(seconds: np.float32 | np.float64) -> tuple[int, np.float32]:
    """The knot below a duration, and the share of the way to the next knot (training/viewer_config.py)."""
    at = min(np.float32(log1p(max(np.float32(seconds), NONE))) * PER_KNOT, LAST_KNOT)
    return int(at), at - np.float32(int(at))


@kernel()
def add_duration(x_D: Floats, knots_KD: Floats, first: int, seconds: np.float32) -> None:
    """Adds the embedding of a duration, whose knots begin at row `first`."""
    below, share = duration_knot(seconds)
    for d in range(len(x_D)):
        low = knots_KD[first + below, d]
        x_D[d] += low + share * (knots_KD[first + below + 1, d] - low)


@kernel()
def knots_between(at_s_T: NDArray[np.float64], first: int, below_QT: NDArray[np.int64], share_QT: Floats) -> None:
    """Times between the visits from `first` on and each before them: the knots below, and the shares of the way."""
    for query in range(len(below_QT)):
        for t in range(first + query + 1):
            below_QT[query, t], share_QT[query, t] = duration_knot(at_s_T[first + query] - at_s_T[t])


@kernel()
def biased(
    score_QT: Floats,
    scale: np.float32,
    visits_K: Floats,
    time_K: Floats,
    below_QT: NDArray[np.int64],
    share_QT: Floats,
) -> None:
    """Scores times a number, plus the distance bias, in place. Places that a visit must not see stay unwritten."""
    Q, T = score_QT.shape
    for query in range(Q):
        last = T - Q + query
        for t in range(last + 1):
            low, high = time_K[below_QT[query, t]], time_K[below_QT[query, t] + 1]
            score = score_QT[query, t] * scale + visits_K[last - t]
            score_QT[query, t] = score + low + share_QT[query, t] * (high - low)


@kernel()
def weighted(score_QT: Floats, kv_TE: Floats, start: int, width: int, mixed_QD: Floats) -> None:
    """Adds the values of the visits that are seen, each times its score, to one head's part."""
    Q, T = score_QT.shape
    D = kv_TE.shape[1] // 2
    for query in range(Q):
        for t in range(T - Q + query + 1):
            share = score_QT[query, t]
            for e in range(width):
                mixed_QD[query, start + e] += share * kv_TE[t, D + start + e]


@kernel()
def attend(
    q_QD: Floats,
    kv_TE: Floats,
    visits_HK: Floats,
    time_HK: Floats,
    below_QT: NDArray[np.int64],
    share_QT: Floats,
    mixed_QD: Floats,
) -> None:
    """Softmax attention of the last Q visits over themselves and those before.

    visits_HK, time_HK: the distance bias by head. below_QT, share_QT: from `knots_between`.
    """
    Q, D = q_QD.shape
    T, heads = len(kv_TE), len(visits_HK)
    E = D // heads
    scale, no_bias_T = np.float32(E**-0.5), np.zeros(T, np.float32)
    score_QT = np.empty((Q, T), np.float32)
    mixed_QD[:] = NONE
    for head in range(heads):
        start = head * E
        product(q_QD[:, start : start + E].copy(), kv_TE[:, start : start + E].copy(), no_bias_T, score_QT)
        biased(score_QT, scale, visits_HK[head], time_HK[head], below_QT, share_QT)
        for query in range(Q):
            last = T - Q + query
            most, total = np.float32(-np.inf), NONE
            for t in range(last + 1):
                most = max(most, score_QT[query, t])
            for t in range(last + 1):
                score_QT[query, t] = np.float32(exp(score_QT[query, t] - most))
                total += score_QT[query, t]
            for t in range(last + 1):
                score_QT[query, t] /= total
        weighted(score_QT, kv_TE, start, E, mixed_QD)


@kernel()
def attend_pointwise(
    q_QD: Floats,
    kv_TE: Floats,
    visits_HK: Floats,
    time_HK: Floats,
    below_QT: NDArray[np.int64],
    share_QT: Floats,
    scale: np.float32,
    mixed_QD: Floats,
) -> None:
    """Pointwise attention of HSTU: like `attend`, with SiLU of each score, times a number, in place of softmax."""
    Q, D = q_QD.shape
    T, heads = len(kv_TE), len(visits_HK)
    E = D // heads
    no_bias_T, score_QT = np.zeros(T, np.float32), np.empty((Q, T), np.float32)
    mixed_QD[:] = NONE
    for head in range(heads):
        start = head * E
        product(q_QD[:, start : start + E].copy(), kv_TE[:, start : start + E].copy(), no_bias_T, score_QT)
        biased(score_QT, ONE, visits_HK[head], time_HK[head], below_QT, share_QT)
        for query in range(Q):
            for t in range(T - Q + query + 1):
                score_QT[query, t] = silu(score_QT[query, t]) * scale
        weighted(score_QT, kv_TE, start, E, mixed_QD)


@kernel()
def feed_forward(
    x_QD: Floats, widen_FD: Floats, widen_bias_F: Floats, narrow_DF: Floats, narrow_bias_D: Floats
) -> None:
    """The feed-forward layer of training.model.sequence_mixers.FeedForward, added in place."""
    z_QD, wide_QF = np.empty_like(x_QD), np.empty((len(x_QD), len(widen_FD)), np.float32)
    layer_norm(x_QD, z_QD)
    product(z_QD, widen_FD, widen_bias_F, wide_QF)
    silus(wide_QF)
    product(wide_QF, narrow_DF, narrow_bias_D, z_QD)
    x_QD += z_QD


@kernel()
def softmax_blocks(x_TD: Floats, at_s_T: NDArray[np.float64], w: PackedSoftmax) -> None:
    """Blocks of training.model.sequence_mixers.Softmax, one after the other, in place.

    Of the last block only the last visit's output is computed.
    """
    T, D = x_TD.shape
    number = len(w.out_bias_BD)
    z_TD, q_TD, kv_TE = np.empty((T, D), np.float32), np.empty((T, D), np.float32), np.empty((T, 2 * D), np.float32)
    below_TT, share_TT = np.empty((T, T), np.int64), np.empty((T, T), np.float32)
    knots_between(at_s_T, 0, below_TT, share_TT)
    for block in range(number):
        first = T - 1 if block == number - 1 else 0
        layer_norm(x_TD, z_TD)
        product(z_TD[first:], w.q_BDD[block], w.q_bias_BD[block], q_TD[first:])
        product(z_TD, w.kv_BED[block], w.kv_bias_BE[block], kv_TE)
        visits_HK, time_HK = w.visits_BHK[block], w.time_BHK[block]
        attend(q_TD[first:], kv_TE, visits_HK, time_HK, below_TT[first:], share_TT[first:], z_TD[first:])
        product(z_TD[first:], w.out_BDD[block], w.out_bias_BD[block], q_TD[first:])
        x_TD[first:] += q_TD[first:]
        feed_forward(
            x_TD[first:], w.widen_BFD[block], w.widen_bias_BF[block], w.narrow_BDF[block], w.narrow_bias_BD[block]
        )


@kernel()
def hstu_blocks(x_TD: Floats, at_s_T: NDArray[np.float64], w: PackedHstu) -> None:
    """Blocks of training.model.sequence_mixers.Hstu, in place, like `softmax_blocks`."""
    T, D = x_TD.shape
    number = len(w.out_bias_BD)
    z_TD, out_TD = np.empty((T, D), np.float32), np.empty((T, D), np.float32)
    qu_TE, kv_TE = np.empty((T, 2 * D), np.float32), np.empty((T, 2 * D), np.float32)
    below_TT, share_TT = np.empty((T, T), np.int64), np.empty((T, T), np.float32)
    knots_between(at_s_T, 0, below_TT, share_TT)
    for block in range(number):
        first = T - 1 if block == number - 1 else 0
        layer_norm(x_TD, z_TD)
        product(z_TD[first:], w.qu_BED[block], w.qu_bias_BE[block], qu_TE[first:])
        product(z_TD, w.kv_BED[block], w.kv_bias_BE[block], kv_TE)
        silus(qu_TE[first:])
        silus(kv_TE)
        attend_pointwise(
            qu_TE[first:, :D].copy(),
            kv_TE,
            w.visits_BHK[block],
            w.time_BHK[block],
            below_TT[first:],
            share_TT[first:],
            w.scale_1[0],
            out_TD[first:],
        )
        layer_norm(out_TD[first:], z_TD[first:])
        for t in range(first, T):
            for d in range(D):
                mixed = z_TD[t, d] * w.mixed_scale_BD[block, d] + w.mixed_shift_BD[block, d]
                z_TD[t, d] = mixed * qu_TE[t, D + d]
        product(z_TD[first:], w.out_BDD[block], w.out_bias_BD[block], out_TD[first:])
        x_TD[first:] += out_TD[first:]


@kernel()
def lru_blocks(x_TD: Floats, w: PackedLru) -> None:
    """Blocks of training.model.sequence_mixers.Lru, in place: h ← λ·h + x, visit after visit, in complex numbers."""
    T, D = x_TD.shape
    number = len(w.out_bias_BD)
    z_TD, out_TD, state_TE = (
        np.empty((T, D), np.float32),
        np.empty((T, D), np.float32),
        np.empty((T, 2 * D), np.float32),
    )
    for block in range(number):
        first = T - 1 if block == number - 1 else 0
        layer_norm(x_TD, z_TD)
        product(z_TD, w.into_BED[block], w.into_bias_BE[block], state_TE)
        lambda_E = w.lambda_BE[block]
        for t in range(1, T):
            for d in range(D):
                real, imaginary = state_TE[t - 1, d], state_TE[t - 1, D + d]
                state_TE[t, d] += lambda_E[d] * real - lambda_E[D + d] * imaginary
                state_TE[t, D + d] += lambda_E[d] * imaginary + lambda_E[D + d] * real
        product(state_TE[first:], w.out_BDE[block], w.out_bias_BD[block], out_TD[first:])
        x_TD[first:] += out_TD[first:]
        feed_forward(
            x_TD[first:], w.widen_BFD[block], w.widen_bias_BF[block], w.narrow_BDF[block], w.narrow_bias_BD[block]
        )


@kernel()
def embed_visits(
    item_TD: Floats,
    action_T: NDArray[np.int64],
    dwell_s_T: Floats,
    gap_s_T: Floats,
    since_same_s_T: Floats,
    ends: PackedEnds,
    x_TD: Floats,
    at_s_T: NDArray[np.float64],
) -> None:
    """The first block's input, into x_TD: visits with their actions and durations, normalised. Times go to at_s_T."""
    T = len(item_TD)
    for t in range(T):
        x_TD[t] = item_TD[t] + ends.action_AD[min(action_T[t], len(ends.action_AD) - 1)]
        gap_s = gap_s_T[t - 1] if t else NONE
        if t:
            at_s_T[t] = at_s_T[t - 1] + gap_s
        add_duration(x_TD[t], ends.knots_KD, 0, dwell_s_T[t])
        add_duration(x_TD[t], ends.knots_KD, KNOTS, gap_s)
        if since_same_s_T[t] < 0:
            x_TD[t] += ends.first_D
        else:
            add_duration(x_TD[t], ends.knots_KD, 2 * KNOTS, since_same_s_T[t])
    layer_norm(x_TD, x_TD)
    x_TD *= ends.norm_4D[0]
    x_TD += ends.norm_4D[1]


@kernel()
def add_prediction_time(x_TD: Floats, gap_s: np.float32, hour: float, ends: PackedEnds) -> Floats:
    """The last visit's output with the time of prediction added, float32 [D]. gap_s: seconds since that visit."""
    T, D = x_TD.shape
    y_1D = x_TD[T - 1 :]
    layer_norm(y_1D, y_1D)
    y_1D *= ends.norm_4D[2]
    y_1D += ends.norm_4D[3]
    wide_1M, more_1D = np.empty((1, len(ends.widen_bias_M)), np.float32), np.empty((1, D), np.float32)
    product(y_1D, ends.widen_MD, ends.widen_bias_M, wide_1M)
    add_duration(wide_1M[0], ends.gap_KM, 0, gap_s)
    for harmonic in range(HARMONICS):
        angle = (harmonic + 1) * hour * 2 * pi / 24
        wide_1M[0] += np.float32(sin(angle)) * ends.hour_HM[harmonic]
        wide_1M[0] += np.float32(cos(angle)) * ends.hour_HM[HARMONICS + harmonic]
    silus(wide_1M)
    product(wide_1M, ends.narrow_DM, ends.narrow_bias_D, more_1D)
    y_D: Floats = y_1D[0] + more_1D[0]
    return y_D


@kernel()
def viewer_vector_softmax(
    item_TD: Floats,
    action_T: NDArray[np.int64],
    dwell_s_T: Floats,
    gap_s_T: Floats,
    since_same_s_T: Floats,
    hour: float,
    ends: PackedEnds,
    inner: PackedSoftmax,
) -> Floats:
    """The vector of training/model/viewer_tower.py with softmax blocks, float32 [D].

    gap_s_T: to the next visit. since_same_s_T: below 0 for never. hour: of the day.
    """
    x_TD, at_s_T = np.empty(item_TD.shape, np.float32), np.zeros(len(item_TD), np.float64)
    embed_visits(item_TD, action_T, dwell_s_T, gap_s_T, since_same_s_T, ends, x_TD, at_s_T)
    softmax_blocks(x_TD, at_s_T, inner)
    return add_prediction_time(x_TD, gap_s_T[-1], hour, ends)


@kernel()
def viewer_vector_hstu(
    item_TD: Floats,
    action_T: NDArray[np.int64],
    dwell_s_T: Floats,
    gap_s_T: Floats,
    since_same_s_T: Floats,
    hour: float,
    ends: PackedEnds,
    inner: PackedHstu,
) -> Floats:
    """The vector of training/model/viewer_tower.py with HSTU blocks, float32 [D]; else like `viewer_vector_softmax`."""
    x_TD, at_s_T = np.empty(item_TD.shape, np.float32), np.zeros(len(item_TD), np.float64)
    embed_visits(item_TD, action_T, dwell_s_T, gap_s_T, since_same_s_T, ends, x_TD, at_s_T)
    hstu_blocks(x_TD, at_s_T, inner)
    return add_prediction_time(x_TD, gap_s_T[-1], hour, ends)


@kernel()
def viewer_vector_lru(
    item_TD: Floats,
    action_T: NDArray[np.int64],
    dwell_s_T: Floats,
    gap_s_T: Floats,
    since_same_s_T: Floats,
    hour: float,
    ends: PackedEnds,
    inner: PackedLru,
) -> Floats:
    """The vector of training/model/viewer_tower.py with LRU blocks, float32 [D]; else like `viewer_vector_softmax`."""
    x_TD, at_s_T = np.empty(item_TD.shape, np.float32), np.zeros(len(item_TD), np.float64)
    embed_visits(item_TD, action_T, dwell_s_T, gap_s_T, since_same_s_T, ends, x_TD, at_s_T)
    lru_blocks(x_TD, inner)
    return add_prediction_time(x_TD, gap_s_T[-1], hour, ends)


def _fields(record: type[Any]) -> types.NamedTuple:
    """The numba type of a record of weights: each array has as many dimensions as the end of its name has letters."""
    by_dimension = {1: FLOATS, 2: FLOATS_2D, 3: FLOATS_3D}
    return types.NamedTuple([by_dimension[len(name.rpartition("_")[2])] for name in record._fields], record)


def signatures() -> dict[Any, Any]:
    """The kernels that Python calls, with the types of their arguments, for `compiling.load`."""
    history = (FLOATS_2D, INTEGERS, *[FLOATS] * 3, types.float64, _fields(PackedEnds))
    return {
        ranker_logits: (FLOATS_2D, FLOATS_2D, FLOATS_2D, FLOATS, FLOATS_2D, FLOATS, FLOATS, INTEGERS, types.float64),
        probabilities: (FLOATS_2D, types.float64),
        viewer_vector_softmax: (*history, _fields(PackedSoftmax)),
        viewer_vector_hstu: (*history, _fields(PackedHstu)),
        viewer_vector_lru: (*history, _fields(PackedLru)),
    }
