"""The products of one vector with all of an index, and the rows of the largest, for certain. Never stores a vector.

Products of all rows are near enough to say which may be among the largest. These are computed once more in float32, as
is every row whose product counts, always by the same code: a product does not depend on what else is compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, FLOATS_2D, INTEGERS, kernel

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

BLOCK = 32  # most rows of a block
LEAST_BLOCKS = 8  # as many blocks, per row that is wanted: with fewer their largest rows say little
NO_VECTOR = np.float32(-1)  # the product of a room without a vector


@kernel(exact=True)
def candidates(product_N: Floats, open_S: Flags, num: int, margin: float) -> Slots:
    """Open rows that may be among the `num` of largest product, int64 [M]. margin: by which products may be off.

    A row whose product is NaN is not among them. Rows are looked at by blocks, of which `num` hold a row of at least
    `least`: so many rows are at least as large as that.
    """
    N = len(product_N)
    blocks = max(min(N, LEAST_BLOCKS * num), -(-N // BLOCK))
    most_B = np.full(blocks, -np.inf, np.float32)
    for start in range(0, N, max(blocks, 1)):  # the b-th of each stretch is in block b, so that this takes vectors
        stretch_B, is_open_B = product_N[start : start + blocks], open_S[start : start + blocks]
        for b in range(len(stretch_B)):
            is_more = (stretch_B[b] > most_B[b]) & is_open_B[b]
            most_B[b] = stretch_B[b] if is_more else most_B[b]
    heap_K = np.full(num, -np.inf, np.float32)  # the largest so far, the least of them first
    for most in most_B:
        if most <= heap_K[0]:
            continue
        place, child = 0, 1
        while child < num:
            if child + 1 < num and heap_K[child + 1] < heap_K[child]:
                child += 1
            if heap_K[child] >= most:
                break
            heap_K[place] = heap_K[child]
            place, child = child, 2 * child + 1
        heap_K[place] = most
    least = heap_K[0] - 2 * margin  # float64
    found_M, M = np.empty(N, np.int64), 0
    for b in range(blocks):
        if most_B[b] == -np.inf or most_B[b] < least:
            continue
        for n in range(b, N, blocks):
            if product_N[n] >= least and open_S[n]:
                found_M[M] = n
                M += 1
    return found_M[:M].copy()


@kernel()
def settle(rows_ND: Floats, places_K: Slots, query_D: Floats, slots_K: Slots, product_S: Floats) -> None:
    """Writes the products of the query with some rows to product_S, at their slots; NO_VECTOR for NaN.

    places_K: the rows' places in rows_ND.
    """
    for k in range(len(places_K)):
        place, product = places_K[k], np.float32(0)
        for d in range(len(query_D)):
            product += query_D[d] * rows_ND[place, d]
        product_S[slots_K[k]] = NO_VECTOR if np.isnan(product) else product


@kernel(exact=True)
def largest(product_S: Floats, tie_S: NDArray[np.float64], slots_M: Slots, num: int) -> Slots:
    """The `num` of these slots with the largest product, int64, best first. Equals: by tie, then slot."""
    best_K, K = np.empty(min(num, len(slots_M)), np.int64), 0
    for slot in slots_M:
        product, tie = product_S[slot], tie_S[slot]
        place = K
        while place > 0:
            before = best_K[place - 1]
            if product_S[before] != product:
                is_before = product_S[before] > product
            else:
                is_before = tie_S[before] > tie or (tie_S[before] == tie and before < slot)
            if is_before:
                break
            place -= 1
        if place == len(best_K):
            continue
        K = min(K + 1, len(best_K))
        for later in range(K - 1, place, -1):
            best_K[later] = best_K[later - 1]
        best_K[place] = slot
    return best_K[:K]


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    return {
        candidates: (FLOATS, types.boolean[::1], types.int64, types.float64),
        settle: (FLOATS_2D, INTEGERS, FLOATS, INTEGERS, FLOATS),
        largest: (FLOATS, types.float64[::1], INTEGERS, types.int64),
    }


class Products:
    """The products of one vector with all rows, by slot: float32 [high], exact only at slots that were settled.

    Valid while nothing writes to the index: whoever compares holds the lock of whatever writes (the tables').
    """

    def __init__(self, rows_ND: NDArray[np.floating], query_D: Floats, product_S: Floats, margin: float) -> None:
        """rows_ND: float32 or float16. margin: by which product_S may be off; NaN there: no vector."""
        self._rows_ND = rows_ND
        self._query_D = query_D
        self.margin = margin
        self.product_S = product_S

    def settle(self, slots_K: Slots) -> None:
        """Computes the products at these slots in float32; NO_VECTOR where there is no vector."""
        rows_ND, places_K = self._rows_ND, slots_K
        if not len(rows_ND):  # before any room has a vector
            self.product_S[slots_K] = NO_VECTOR
            return
        if rows_ND.dtype != np.float32:
            rows_ND, places_K = rows_ND[slots_K].astype(np.float32), np.arange(len(slots_K))
        settle(rows_ND, places_K, self._query_D, slots_K, self.product_S)

    def nearest(self, open_S: Flags, num: int, tie_S: NDArray[np.float64]) -> Slots:
        """The `num` open slots of the largest products, settled, int64, in no order; fewer where fewer have a vector.

        open_S: bool by slot. tie_S: 0..1; of equal products the larger is before.
        """
        found_M: Slots = candidates(self.product_S, open_S, num, self.margin)
        self.settle(found_M)
        return found_M if len(found_M) <= num else largest(self.product_S, tie_S, found_M, num)
