"""Vectors stored by columns in bfloat16, and their products with one vector. Never knows whose they are.

They find candidates that something better ranks afterwards. Columns are read in order, and take half the memory of
float32. bfloat16 is a float32 without its last 16 bits, so a component is off by at most 2⁻⁸ of itself. The product of
unit vectors is off by at most .004, and with 32 dimensions usually by .001.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, kernel

Floats = NDArray[np.float32]
Halves = NDArray[np.uint16]

TILE = 2_048  # products summed at a time, 8 KB: they stay in the nearest cache
NAN = np.uint16(0x7FC0)


@kernel()
def widened(half: np.uint16) -> np.float32:
    """A bfloat16 as float32."""
    bits: np.float32 = np.uint32(np.uint32(half) << np.uint32(16)).view(np.float32)
    return bits


@kernel()
def products(half_DN: Halves, high: int, query_D: Floats) -> Floats:
    """Products of the query with the first `high` rows, float32 [high]; four dimensions at a time."""
    D = len(half_DN)
    product_N = np.zeros(high, np.float32)
    for start in range(0, high, TILE):
        end = min(start + TILE, high)
        sum_N = product_N[start:end]
        for d in range(0, D - 3, 4):
            p, q, r, s = query_D[d], query_D[d + 1], query_D[d + 2], query_D[d + 3]
            a_N, b_N, c_N, d_N = (
                half_DN[d, start:end],
                half_DN[d + 1, start:end],
                half_DN[d + 2, start:end],
                half_DN[d + 3, start:end],
            )
            for n in range(end - start):
                sum_N[n] += p * widened(a_N[n]) + q * widened(b_N[n]) + r * widened(c_N[n]) + s * widened(d_N[n])
        for d in range(D - D % 4, D):
            for n in range(end - start):
                sum_N[n] += query_D[d] * widened(half_DN[d, start + n])
    return product_N


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    return {products: (types.uint16[:, ::1], types.int64, FLOATS)}


class Columns:
    """Vectors of D dimensions, one per row, stored by columns. Not thread-safe."""

    def __init__(self, dimension: int, max_rows: int) -> None:
        """A row costs no memory until it is put."""
        self._half_DN: Halves = np.zeros((dimension, max_rows), np.uint16)

    def put(self, rows: NDArray[np.int64] | slice, vectors_ND: NDArray[np.floating]) -> None:
        """Overwrites rows; NaN stays NaN."""
        self._half_DN[:, rows] = halves(vectors_ND).T

    def clear(self, rows: NDArray[np.int64] | slice) -> None:
        """Empties rows: their products are NaN from now on."""
        self._half_DN[:, rows] = NAN

    def products(self, high: int, query_D: Floats) -> Floats:
        """Products of the query with the first `high` rows, float32 [high]."""
        product_N: Floats = products(self._half_DN, high, np.array(query_D, np.float32))  # kernels take no frozen one
        return product_N


def halves(vectors_ND: NDArray[np.floating]) -> Halves:
    """Vectors rounded to bfloat16, as bits, uint16 [N, D]: to the nearest, ties to even."""
    bits_ND = np.ascontiguousarray(vectors_ND, np.float32).view(np.uint32)
    half_ND = ((bits_ND + np.uint32(0x7FFF) + ((bits_ND >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(
        np.uint16
    )
    half_ND[np.isnan(vectors_ND)] = NAN
    return half_ND
