"""Vectors stored in 16 bits, and their products with one vector. Never knows whose they are.

A row is a number of 16 bits for each component, in units of its own: its largest component is 32,767 of them. Reading
takes half the memory of float32. A product of unit vectors is off by less than .0001. How far it may be off is known
(`rounded`), so what is nearest is found for certain: `nearest.py` compares all that may be among it once more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, FLOATS_2D, INTEGERS, kernel

Floats = NDArray[np.float32]

STEPS = np.float32(32_767)
MOST = 32_767.0  # STEPS as float64


@kernel(exact=True)
def fix(vectors_ND: Floats, rows_N: NDArray[np.int64], fixed_RD: NDArray[np.int16], unit_R: Floats) -> float:
    """Writes vectors to rows. Returns the length of the longest that rounding took of one.

    Not finite is no vector: the row's unit is NaN.
    """
    most = 0.0
    for n in range(len(rows_N)):
        row, largest = rows_N[n], np.float32(0)
        for value in vectors_ND[n]:
            largest = max(largest, abs(value)) if np.isfinite(value) else np.float32(np.nan)
            if np.isnan(largest):
                break
        unit = largest / STEPS
        unit_R[row] = unit
        if np.isnan(unit):
            continue
        lost = 0.0
        for d in range(vectors_ND.shape[1]):
            value = np.float64(vectors_ND[n, d])
            steps = np.rint(value / unit) if unit > 0 else 0.0
            fixed_RD[row, d] = np.int16(min(max(steps, -MOST), MOST))
            lost += (value - fixed_RD[row, d] * np.float64(unit)) ** 2
        most = max(most, np.sqrt(lost))
    return most


@kernel(beside_python=True)
def products(fixed_ND: NDArray[np.int16], unit_N: Floats, high: int, query_D: Floats) -> Floats:
    """Products of the query with the first `high` rows, float32 [high]. unit_N: of each row's components."""
    D = len(query_D)
    product_N = np.empty(high, np.float32)
    for n in range(high):
        product = np.float32(0)
        for d in range(D):
            product += query_D[d] * np.float32(fixed_ND[n, d])
        product_N[n] = product * unit_N[n]
    return product_N


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    rows = types.int16[:, ::1]
    return {products: (rows, FLOATS, types.int64, FLOATS), fix: (FLOATS_2D, INTEGERS, rows, FLOATS)}


class FixedRows:
    """Vectors of D dimensions, one per row, in 16 bits. Not thread-safe."""

    def __init__(self, dimension: int, max_rows: int) -> None:
        """A row costs no memory until it is put."""
        self._fixed_ND = np.zeros((max_rows, dimension), np.int16)
        self._unit_N: Floats = np.zeros(max_rows, np.float32)
        self.rounded = 0.0  # most by which a product with a unit vector was ever off for being of 16 bits

    def put(self, rows: NDArray[np.int64], vectors_ND: NDArray[np.floating]) -> None:
        """Overwrites rows. One with a component that is not finite is empty."""
        vectors_ND = np.array(vectors_ND, np.float32, order="C")  # kernels take no frozen one
        self.rounded = max(self.rounded, fix(vectors_ND, rows, self._fixed_ND, self._unit_N))

    def clear(self, rows: NDArray[np.int64] | slice) -> None:
        """Empties rows: their products are NaN from now on."""
        self._unit_N[rows] = np.nan

    def products(self, high: int, query_D: Floats) -> Floats:
        """Products of the query with the first `high` rows, float32 [high]."""
        product_N: Floats = products(self._fixed_ND, self._unit_N, high, query_D)
        return product_N
