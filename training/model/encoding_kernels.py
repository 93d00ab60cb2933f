"""A compiled kernel of the ranker's bin encoding, for values without a gradient. Never holds a weight.

Equal to the torch code in training/model/ranker.py to the bit, in one pass instead of seven. Arrays are float32 and
contiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS_2D, kernel

Floats = NDArray[np.float32]

ONE, NONE = np.float32(1), np.float32(0)


@kernel(exact=True, beside_python=True)
def encode_bins(values_RF: Floats, knots_FQ: Floats, seen_F: NDArray[np.bool_]) -> Floats:
    """The bin encoding of R rows of F values, float32 [R, F·Q].

    Of each feature: how far the value is through each bin, 0 to 1, then 1 where it is NaN. All 0 for a feature that
    was never seen (seen_F).
    """
    R, F = values_RF.shape
    Q = knots_FQ.shape[1]
    encoded_RW = np.empty((R, F * Q), np.float32)
    width_FB = knots_FQ[:, 1:] - knots_FQ[:, :-1]
    for r in range(R):
        for f in range(F):
            value, first = values_RF[r, f], f * Q
            if value != value:  # noqa: PLR0124  NaN
                encoded_RW[r, first : first + Q - 1] = NONE
                encoded_RW[r, first + Q - 1] = ONE if seen_F[f] else NONE
                continue
            for b in range(Q - 1):
                through = (value - knots_FQ[f, b]) / width_FB[f, b]
                encoded_RW[r, first + b] = min(max(through, NONE), ONE)
            encoded_RW[r, first + Q - 1] = NONE
    return encoded_RW


def signatures() -> dict[Any, Any]:
    """The kernels that Python calls, with the types of their arguments, for `compiling.load`."""
    return {encode_bins: (FLOATS_2D, FLOATS_2D, types.boolean[::1])}
