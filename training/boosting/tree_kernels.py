"""The sum of gradient-boosted trees, compiled: all trees for all rows at once. Never grows a tree.

The method is QuickScorer (Lucchese et al., SIGIR 2015). Each tree has a mask of the leaves that can still be reached. A
node that sends a row to the right removes the leaves on its left, and the first leaf that remains is the tree's. Nodes
come feature by feature, the lowest threshold first, so most nodes that send a row to the left are never looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, FLOATS_2D, INTEGERS, kernel

Masks = NDArray[np.uint32]

LEAVES = 32  # at most, per tree: the bits of a mask
ROWS = 16  # in one register; rows of the lowest value fill up the last
ZERO, NONE = np.float32(1e-35), np.float32(0)  # LightGBM reads values up to this as zero
ALL, ONE = np.uint32(0xFFFFFFFF), np.uint32(1)
DE_BRUIJN = np.uint32(0x077CB531)  # times a power of two, its highest five bits are unique
TOP = np.uint32(27)
PLACES = np.zeros(32, np.int64)
PLACES[[(0x077CB531 << place & 0xFFFFFFFF) >> 27 for place in range(32)]] = np.arange(32)


@kernel(exact=True)
def grown(  # noqa: PLR0912  as short as it gets in one piece, which is what makes it fast
    values_NF: NDArray[np.float32],
    starts_F: NDArray[np.int64],
    threshold_X: NDArray[np.float32],
    tree_X: NDArray[np.int64],
    right_X: Masks,
    unknown_X: NDArray[np.bool_],
    leaf_TL: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The sum of all trees, in their order, for each row, float64 [N].

    Nodes X come by feature, with ascending thresholds. right_X: the mask of leaves that remain where a value is above
    the threshold. unknown_X: whether an unknown value (NaN) counts as above.
    """
    N, F = values_NF.shape
    T, M = len(leaf_TL), (len(values_NF) + ROWS - 1) // ROWS * ROWS
    mask_TM = np.full((T, M), ALL)
    value_M = np.full(M, np.float32(-np.inf))
    for f in range(F):
        most, num_unknown = np.float32(-np.inf), 0
        for n in range(N):
            value = values_NF[n, f]
            if abs(value) <= ZERO:
                value = NONE
            value_M[n] = value
            if value == value:  # noqa: PLR0124  known
                most = max(most, value)
            else:
                num_unknown += 1
        for x in range(starts_F[f], starts_F[f + 1]):
            threshold, right = threshold_X[x], right_X[x]
            if num_unknown == 0 and threshold >= most:
                break
            mask_M = mask_TM[tree_X[x]]
            if num_unknown and unknown_X[x]:
                for m in range(M):
                    mask_M[m] &= ALL if value_M[m] <= threshold else right
            else:
                for m in range(M):
                    mask_M[m] &= right if value_M[m] > threshold else ALL
    sum_N = np.zeros(N)
    for tree in range(T):
        for n in range(N):
            mask = mask_TM[tree, n]
            lowest = mask & (~mask + ONE)
            sum_N[n] += leaf_TL[tree, PLACES[np.uint32(lowest * DE_BRUIJN) >> TOP]]
    return sum_N


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    nodes = (INTEGERS, FLOATS, INTEGERS, types.uint32[::1], types.boolean[::1])
    return {grown: (FLOATS_2D, *nodes, types.float64[:, ::1])}
