"""Compiled kernels of the ranker's first layer: straight lines between knots, summed by feature. Never holds a weight.

Equal to training/model/ranker.py within rounding, by a test of the version. Arrays are float32 and contiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, FLOATS_2D, FLOATS_3D, INTEGERS, INTEGERS_2D, kernel

Floats = NDArray[np.float32]

BLOCK = 64  # rows summed at a time, some 30 KB: they stay in the nearest cache
ONE, NONE = np.float32(1), np.float32(0)


@kernel()
def same(a: np.float32, b: np.float32) -> bool:
    """Whether two values are equal, or both unknown."""
    return bool(a == b or (a != a and b != b))  # noqa: PLR0124  NaN


@kernel()
def place(value: np.float32, knots_FQ: Floats, feature: int) -> tuple[int, np.float32]:
    """The row of a feature's lines below a value, and the share of the way to the next; NaN has the last row.

    There is no branch that depends on the value: mispredicted branches took as long as everything else.
    """
    last = knots_FQ.shape[1] - 1
    row = 0
    for knot in range(1, last):
        row += value >= knots_FQ[feature, knot]
    low = knots_FQ[feature, row]
    share = min(max((value - low) / (knots_FQ[feature, row + 1] - low), NONE), ONE)
    unknown = value != value  # noqa: PLR0124  NaN
    return (last + 1 if unknown else row), (NONE if unknown else share)


@kernel()
def add_line(
    sum_NO: Floats, n: int, lines_FRO: Floats, feature: int, row: int, share: np.float32, sign: np.float32
) -> None:
    """Adds a feature's contribution at a place of its lines to a row (sign 1), or takes it away (sign −1)."""
    low, high, above = sign * (ONE - share), sign * share, min(row + 1, lines_FRO.shape[1] - 1)
    for o in range(sum_NO.shape[1]):
        sum_NO[n, o] += low * lines_FRO[feature, row, o] + high * lines_FRO[feature, above, o]


@kernel()
def add_lines(sum_NO: Floats, values_NF: Floats, knots_FQ: Floats, lines_FRO: Floats) -> None:
    """Adds the contributions of all features to each row: straight lines between knots, with values lines_FRO there.

    It goes feature by feature, whose lines then stay in the nearest cache. Most features of a viewer are the same for
    most candidates, and most of a quiet room the same as of other quiet rooms. The contribution of a feature's usual
    value is added once for all rows, and to a row only where its value differs.
    """
    N, F = values_NF.shape
    O = lines_FRO.shape[2]
    usual_1O = np.zeros((1, O), np.float32)
    for feature in range(F):
        usual = values_NF[N // 2, feature]
        if not same(usual, values_NF[N - 1, feature]):
            usual = values_NF[0, feature]
        times = 0
        for n in range(N):
            times += same(values_NF[n, feature], usual)
        is_usual = 2 * times >= N
        usual_row, usual_share = place(usual, knots_FQ, feature)
        if is_usual:
            add_line(usual_1O, 0, lines_FRO, feature, usual_row, usual_share, ONE)
        if times == N:
            continue
        for n in range(N):
            value = values_NF[n, feature]
            if is_usual:
                if same(value, usual):
                    continue
                add_line(sum_NO, n, lines_FRO, feature, usual_row, usual_share, -ONE)
            row, share = place(value, knots_FQ, feature)
            add_line(sum_NO, n, lines_FRO, feature, row, share, ONE)
    sum_NO += usual_1O


@kernel(beside_python=True)
def encode_rows(values_NF: Floats, knots_FQ: Floats, lines_FRO: Floats, bias_O: Floats) -> Floats:
    """Sums [N, O] of the bias and the contributions of each row's features, for thousands of rows."""
    N = len(values_NF)
    sum_NO = np.empty((N, len(bias_O)), np.float32)
    for start in range(0, N, BLOCK):
        for n in range(start, min(start + BLOCK, N)):
            sum_NO[n] = bias_O
        add_lines(sum_NO[start : start + BLOCK], values_NF[start : start + BLOCK], knots_FQ, lines_FRO)
    return sum_NO


@kernel()
def summed(
    prepared_SO: Floats, slots_N: NDArray[np.int64], values_NF: Floats, knots_FQ: Floats, lines_FRO: Floats
) -> Floats:
    """Sums [N, O] of the prepared part of the rooms in these slots and the contributions of each row's features."""
    N, O = len(slots_N), prepared_SO.shape[1]
    sum_NO = np.empty((N, O), np.float32)
    for n in range(N):
        slot = slots_N[n]
        for o in range(O):
            sum_NO[n, o] = prepared_SO[slot, o]
    add_lines(sum_NO, values_NF, knots_FQ, lines_FRO)
    return sum_NO


@kernel()
def neutral(values_NF: Floats, cause_F: NDArray[np.int64], never_F: Floats) -> Floats:
    """Neutral values of the features [1, F]: averages of known values; for the first cause's features never_F."""
    N, F = values_NF.shape
    neutral_1F = np.empty((1, F), np.float32)
    for f in range(F):
        total, known = NONE, 0
        for n in range(N):
            value = values_NF[n, f]
            is_known = value == value  # noqa: PLR0124  NaN is not
            total += value if is_known else NONE
            known += is_known
        average = total / np.float32(known) if known else np.float32(np.nan)
        neutral_1F[0, f] = never_F[f] if cause_F[f] == 0 else average
    return neutral_1F


@kernel()
def neutralise(
    sum_RO: Floats, values_RF: Floats, r: int, neutral_1F: Floats, some_X: NDArray[np.int64], knots_FQ: Floats,
    lines_FRO: Floats,
) -> None:  # fmt: skip
    """Replaces some features of a row by the neutral ones, in its values and in what they add up to."""
    for f in some_X:
        if not same(values_RF[r, f], neutral_1F[0, f]):
            row, share = place(values_RF[r, f], knots_FQ, f)
            add_line(sum_RO, r, lines_FRO, f, row, share, -ONE)
            row, share = place(neutral_1F[0, f], knots_FQ, f)
            add_line(sum_RO, r, lines_FRO, f, row, share, ONE)
            values_RF[r, f] = neutral_1F[0, f]


@kernel()
def ablated(  # noqa: PLR0912  as short as it gets in one piece, which is what makes it fast
    sum_NO: Floats,
    values_NF: Floats,
    prepared_SO: Floats,
    slots_N: NDArray[np.int64],
    places_K: NDArray[np.int64],
    is_drawing_K: NDArray[np.bool_],
    starts_C: NDArray[np.int64],
    features_X: NDArray[np.int64],
    facts_2Y: NDArray[np.int64],
    least_Y: Floats,
    cause_F: NDArray[np.int64],
    never_F: Floats,
    knots_FQ: Floats,
    lines_FRO: Floats,
    age_knots_1Q: Floats,
    age_lines_1RO: Floats,
    age_s_K: Floats,
    usual_age_s: np.float32,
    fresh: np.float32,
    half_life_s: float,
    fresh_column: int,
    is_known: bool,
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Ablated rows: each is one of K rooms without one cause, as training/inference/causes.py defines it.

    Returns sums as from `summed` [R, O], their values [R, F], and which room and cause each row is, int64 [R, 2]. The
    last two causes are in the rooms' prepared part: all of it, and the age where that is known. fresh: the bonus of a
    new room, with half_life_s, in fresh_column. is_known: whether the viewer has a past.
    """
    K, O, F = len(places_K), sum_NO.shape[1], values_NF.shape[1]
    crowd = len(starts_C) - 1
    neutral_1F, usual_O = neutral(values_NF, cause_F, never_F), np.zeros(O, np.float32)
    for n in range(len(slots_N)):
        slot = slots_N[n]
        for o in range(O):
            usual_O[o] += prepared_SO[slot, o]
    usual_O /= np.float32(len(slots_N))
    sum_RO, values_RF = np.empty((K * (crowd + 2), O), np.float32), np.empty((K * (crowd + 2), F), np.float32)
    which_R2, age_1O, r = np.empty((K * (crowd + 2), 2), np.int64), np.zeros((1, O), np.float32), 0
    is_cause_C = np.zeros(crowd + 2, np.bool_)
    for k in range(K):
        n = places_K[k]
        is_cause_C[:] = False
        for y in range(facts_2Y.shape[1]):
            f = facts_2Y[0, y]
            if is_known and values_NF[n, f] > neutral_1F[0, f] + least_Y[y]:
                is_cause_C[facts_2Y[1, y]] = True
        is_cause_C[crowd] = is_drawing_K[k]
        if age_s_K[k] == age_s_K[k]:  # known
            is_cause_C[crowd + 1] = True
            row, share = place(age_s_K[k], age_knots_1Q, 0)
            add_line(age_1O, 0, age_lines_1RO, 0, row, share, -ONE)
            row, share = place(usual_age_s, age_knots_1Q, 0)
            add_line(age_1O, 0, age_lines_1RO, 0, row, share, ONE)
            usual = np.float32(2 ** (-usual_age_s / half_life_s))
            age_1O[0, fresh_column] += fresh * (usual - np.float32(2 ** (-age_s_K[k] / half_life_s)))
        for cause in range(crowd + 2):
            if not is_cause_C[cause]:
                continue
            for o in range(O):
                sum_RO[r, o] = sum_NO[n, o]
            for f in range(F):
                values_RF[r, f] = values_NF[n, f]
            if cause < crowd:
                some_X = features_X[starts_C[cause] : starts_C[cause + 1]]
                neutralise(sum_RO, values_RF, r, neutral_1F, some_X, knots_FQ, lines_FRO)
            elif cause == crowd:
                for o in range(O):
                    sum_RO[r, o] += usual_O[o] - prepared_SO[slots_N[n], o] - age_1O[0, o]
            else:
                for o in range(O):
                    sum_RO[r, o] += age_1O[0, o]
            which_R2[r, 0], which_R2[r, 1] = k, cause
            r += 1
        if is_cause_C[crowd + 1]:
            age_1O[:] = NONE
    return sum_RO[:r], values_RF[:r], which_R2[:r]


@kernel()
def logit_drops(
    logit_NT: Floats, places_K: NDArray[np.int64], logit_RT: Floats, which_R2: NDArray[np.int64], causes: int
) -> Floats:
    """Drops of the first logit of K rooms without each cause, float32 [K, C]; 0 where a cause was not looked at."""
    drop_KC = np.zeros((len(places_K), causes), np.float32)
    for r in range(len(which_R2)):
        k = which_R2[r, 0]
        drop_KC[k, which_R2[r, 1]] = logit_NT[places_K[k], 0] - logit_RT[r, 0]
    return drop_KC


def signatures() -> dict[Any, Any]:
    """The kernels that Python calls, with the types of their arguments, for `compiling.load`."""
    return {
        encode_rows: (FLOATS_2D, FLOATS_2D, FLOATS_3D, FLOATS),
        summed: (FLOATS_2D, INTEGERS, FLOATS_2D, FLOATS_2D, FLOATS_3D),
        ablated: (
            *(FLOATS_2D, FLOATS_2D, FLOATS_2D, INTEGERS, INTEGERS, types.boolean[::1]),
            *(INTEGERS, INTEGERS, INTEGERS_2D, FLOATS, INTEGERS, FLOATS, FLOATS_2D, FLOATS_3D),
            *(FLOATS_2D, FLOATS_3D, FLOATS, types.float32, types.float32, types.float64, types.int64, types.boolean),
        ),
        logit_drops: (FLOATS_2D, INTEGERS, FLOATS_2D, INTEGERS_2D, types.int64),
    }
