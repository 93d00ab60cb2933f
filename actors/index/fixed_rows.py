"""Vectors stored in 16 bits, and their products with one vector. Never knows whose they are.

A row is a number of 16 bits for each component, in units of its own: its largest component is 32,767 of them. They lie
in tiles, int16 [T, D, N], so that the same component of neighbours is multiplied at once; half the memory of float32 is
read. A product of unit vectors is off by less than .0001. How far it may be off is known (`rounded`), so what is
nearest is found for certain: `nearest.py` compares all that may be among it once more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, FLOATS_2D, INTEGERS, kernel

Floats = NDArray[np.float32]
Fixed = NDArray[np.int16]

TILE = 64  # rows side by side: 8 KB at 64 dimensions, read in order; a sum stays in the nearest cache
STEPS = np.float32(32_767)
MOST = 32_767.0  # STEPS as float64


@kernel()
def fix(vectors_ND: Floats, rows_N: NDArray[np.int64], fixed_TDN: Fixed, unit_R: Floats) -> tuple[float, float]:
    """Writes vectors to rows. Returns the length of the longest, and of the longest that rounding took of one.

    Not finite is no vector: the row's unit is NaN.
    """
    longest, most = 0.0, 0.0
    for n in range(len(rows_N)):
        row, largest, squares = rows_N[n], np.float32(0), 0.0
        for value in vectors_ND[n]:
            largest = max(largest, abs(value))
            squares += np.float64(value) * np.float64(value)
        if not np.isfinite(squares):  # those of finite values do not overflow
            unit_R[row] = np.nan
            continue
        unit_R[row] = unit = largest / STEPS
        by_unit = 1 / np.float64(unit) if unit > 0 else 0.0
        lost = 0.0
        for d in range(vectors_ND.shape[1]):
            value = np.float64(vectors_ND[n, d])
            steps = min(max(np.rint(value * by_unit), -MOST), MOST)
            fixed_TDN[row // TILE, d, row % TILE] = np.int16(steps)
            lost += (value - steps * np.float64(unit)) ** 2
        longest, most = max(longest, np.sqrt(squares)), max(most, np.sqrt(lost))
    return longest, most


@kernel(beside_python=True)
def products(fixed_TDN: Fixed, unit_R: Floats, high: int, query_D: Floats) -> Floats:
    """Products of the query with the first `high` rows, float32 [high]; four dimensions at a time."""
    D = len(query_D)
    product_R = np.zeros(-(-high // TILE) * TILE, np.float32)
    for tile in range(len(product_R) // TILE):
        fixed_DN, unit_N = fixed_TDN[tile], unit_R[tile * TILE : (tile + 1) * TILE]
        sum_N = product_R[tile * TILE : (tile + 1) * TILE]
        for d in range(0, D - 3, 4):
            p, q, r, s = query_D[d], query_D[d + 1], query_D[d + 2], query_D[d + 3]
            a_N, b_N, c_N, d_N = fixed_DN[d], fixed_DN[d + 1], fixed_DN[d + 2], fixed_DN[d + 3]
            for n in range(TILE):
                sum_N[n] += (p * np.float32(a_N[n]) + q * np.float32(b_N[n])) + (
                    r * np.float32(c_N[n]) + s * np.float32(d_N[n])
                )
        for d in range(D - D % 4, D):
            a_N = fixed_DN[d]
            for n in range(TILE):
                sum_N[n] += query_D[d] * np.float32(a_N[n])
        for n in range(TILE):
            sum_N[n] *= unit_N[n]
    return product_R[:high]


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    rows = types.int16[:, :, ::1]
    return {products: (rows, FLOATS, types.int64, FLOATS), fix: (FLOATS_2D, INTEGERS, rows, FLOATS)}


class FixedRows:
    """Vectors of D dimensions, one per row, in 16 bits. Not thread-safe."""

    def __init__(self, dimension: int, max_rows: int) -> None:
        """A row costs no memory until it is put."""
        tiles = -(-max_rows // TILE)
        self._fixed_TDN: Fixed = np.zeros((tiles, dimension, TILE), np.int16)
        self._unit_R: Floats = np.zeros(tiles * TILE, np.float32)
        self.longest = 0.0  # of all vectors ever put
        self.rounded = 0.0  # most by which a product with a unit vector was ever off for being of 16 bits

    def put(self, rows: NDArray[np.int64], vectors_ND: NDArray[np.floating]) -> None:
        """Overwrites rows. One with a component that is not finite is empty."""
        if vectors_ND.dtype != np.float32 or not (vectors_ND.flags.c_contiguous and vectors_ND.flags.writeable):
            vectors_ND = np.array(vectors_ND, np.float32, order="C")  # kernels take no frozen one
        longest, rounded = fix(vectors_ND, rows, self._fixed_TDN, self._unit_R)
        self.longest, self.rounded = max(self.longest, longest), max(self.rounded, rounded)

    def clear(self, rows: NDArray[np.int64] | slice) -> None:
        """Empties rows: their products are NaN from now on."""
        self._unit_R[rows] = np.nan

    def products(self, high: int, query_D: Floats) -> Floats:
        """Products of the query with the first `high` rows, float32 [high]."""
        product_N: Floats = products(self._fixed_TDN, self._unit_R, high, query_D)
        return product_N
