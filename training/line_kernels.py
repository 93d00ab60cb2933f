"""Owns the ranker's encoding, compiled: straight lines between knots, summed over features. Never holds a weight.

Equal to training/ranker.py's within rounding, by a test of the version. Arrays are float32 and contiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.compiling import FLOATS, FLOATS_2D, FLOATS_3D, INTEGERS, kernel

Floats = NDArray[np.float32]

BLOCK = 64  # rows summed at a time, some 30 KB: they stay in the nearest cache
ONE, NONE = np.float32(1), np.float32(0)


@kernel()
def same(a: np.float32, b: np.float32) -> bool:
    """Whether two values are equal, or both unknown."""
    return bool(a == b or (a != a and b != b))  # noqa: PLR0124  NaN


@kernel()
def place(value: np.float32, knots_FQ: Floats, feature: int) -> tuple[int, np.float32]:
    """After which row of a feature's lines a value lies, and the share of the way to the next; NaN has the last row.

    Without a branch that depends on the value: to guess these wrongly took as long as everything else.
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
    """Adds to a row what a feature says at a place of its lines, or takes it away."""
    low, high, above = sign * (ONE - share), sign * share, min(row + 1, lines_FRO.shape[1] - 1)
    for o in range(sum_NO.shape[1]):
        sum_NO[n, o] += low * lines_FRO[feature, row, o] + high * lines_FRO[feature, above, o]


@kernel()
def add_lines(sum_NO: Floats, values_NF: Floats, knots_FQ: Floats, lines_FRO: Floats) -> None:
    """Adds to each row what its features say: straight lines between knots, at which `lines` are.

    Feature by feature, whose lines then stay in the nearest cache. Most of a viewer's features are the same for most
    candidates, most of a quiet room's as other quiet rooms': what these say is added once, and of a row
    what is otherwise.
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
def encoded(values_NF: Floats, knots_FQ: Floats, lines_FRO: Floats, bias_O: Floats) -> Floats:
    """[N, O] bias + what the features of each row say, for thousands of rows."""
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
    """[N, O] what is prepared of the rooms in these slots + what the features of each row say."""
    N, O = len(slots_N), prepared_SO.shape[1]
    sum_NO = np.empty((N, O), np.float32)
    for n in range(N):
        slot = slots_N[n]
        for o in range(O):
            sum_NO[n, o] = prepared_SO[slot, o]
    add_lines(sum_NO, values_NF, knots_FQ, lines_FRO)
    return sum_NO


def signatures() -> dict[Any, Any]:
    """Which kernels are called, for `compiling.load`, and with what."""
    return {
        encoded: (FLOATS_2D, FLOATS_2D, FLOATS_3D, FLOATS),
        summed: (FLOATS_2D, INTEGERS, FLOATS_2D, FLOATS_2D, FLOATS_3D),
    }
