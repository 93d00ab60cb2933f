"""The index: the vectors of the live rooms and an exact search over them. Never knows which room has which slot.

Rows are overwritten in place in one array that FAISS reads directly. Three properties carry the class:

* The array is reserved once for `max_rooms` rows as zero pages, which cost nothing until they are touched. Growing is
  raising a number: nothing is copied and no search waits.
* A row without a vector is NaN. Every comparison with NaN is false, so FAISS never takes such a row into a result:
  deleting needs neither a selector, which would slow each search down, nor slack in k.
* A search holds no lock while it scans. Rows written meanwhile, which the scan may have seen torn, are known from the
  journal of writes, and are scored again under the lock before the result is returned (`_settle`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from actors.index.fixed_rows import FixedRows
from actors.index.nearest import Products
from actors.index.slots import Slots
from actors.settings import IndexConfig

BLOCK = 8_192  # float16 rows converted at a time: 2 MB of float32 at 64 dimensions, which stays in the cache
ROUNDING = 2.0**-24  # most by which an operation in float32 is off, as a share of its result
JOURNAL_WRITES = 1_024  # writes that a search may overlap; after more it is repeated under the lock


@dataclass(frozen=True, slots=True)
class Hits:
    """The result of a search, best first. slots: int64 [Q, K], -1 where there are fewer; scores: float32 [Q, K]."""

    slots_QK: NDArray[np.int64]
    scores_QK: NDArray[np.float32]


class LiveIndex:
    """Exact inner product over the rows that are in use. Any thread may search and write at any time.

    The dimension is that of the first vectors put; before them every search is empty.
    """

    def __init__(self, config: IndexConfig, slots: Slots | None = None, *, coarse: bool = True) -> None:
        """slots: which rows are in use; several indexes may share them. coarse: false: nobody calls `compare`."""
        self.config = config
        self.slots = Slots(config.max_rooms) if slots is None else slots
        self._dtype = np.dtype(config.dtype)
        self._rows_ND: NDArray[np.floating] = np.zeros((0, 0), self._dtype)
        self._coarse = coarse and config.coarse
        self._fixed: FixedRows | None = None  # where `compare` reads 16 bits
        self._longest = 0.0  # of all vectors ever put, where they are in no other form
        self._high = 0  # rows in [0, high) are vectors or NaN; those above have not been touched
        self._lock = threading.Lock()
        self._thread = threading.local()
        self._writes = 0
        self._journal: deque[NDArray[np.int64]] = deque(maxlen=JOURNAL_WRITES)

    @property
    def dimension(self) -> int:
        """Dimension of the vectors; 0 before the first."""
        return int(self._rows_ND.shape[1])

    def clear(self, slots_N: NDArray[np.int64]) -> None:
        """Takes rows out; no search that begins afterwards finds them."""
        with self._lock:
            if self.dimension:
                self._raise()
                self._rows_ND[slots_N] = np.nan
                if self._fixed is not None:
                    self._fixed.clear(slots_N)
                self._note(slots_N)

    def put(self, slots_N: NDArray[np.int64], vectors_ND: NDArray[np.floating]) -> None:
        """Overwrites the rows of allocated slots. Raises ValueError where the dimension is not that of the index."""
        with self._lock:
            if not self.dimension:
                self._rows_ND = np.zeros((self.config.max_rooms, vectors_ND.shape[1]), self._dtype)
                self._fixed = FixedRows(vectors_ND.shape[1], self.config.max_rooms) if self._coarse else None
            self._raise()
            rows_ND = vectors_ND.astype(self._dtype, copy=False)
            self._rows_ND[slots_N] = rows_ND
            if self._fixed is not None:
                self._fixed.put(slots_N, rows_ND)
            else:
                lengths_N = np.sqrt(np.square(rows_ND, dtype=np.float64).sum(axis=1))
                self._longest = float(np.fmax.reduce(lengths_N[np.isfinite(lengths_N)], initial=self._longest))
            self._note(slots_N)

    def vectors(self, slots_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copies of rows, float32 [N, D]; NaN where a slot has no vector, [N, 0] before any slot has one."""
        if not self.dimension:
            return np.zeros((len(slots_N), 0), np.float32)
        with self._lock:
            self._raise()
            return self._rows_ND[slots_N].astype(np.float32, copy=False)

    def products(self, query_D: NDArray[np.float32]) -> NDArray[np.float32]:
        """Inner product of the query with every row that was ever used, float32 [N], by slot; NaN without a vector.

        FAISS computes them too, but also keeps a heap of the best: without it this takes half the time.
        Rows written meanwhile may be torn: callers let nothing write, or accept that.
        """
        with self._lock:
            high = self._raise()
        rows_ND = self._rows_ND[:high]
        if not self.dimension:
            return np.full(high, np.nan, np.float32)
        if rows_ND.dtype == np.float32:
            return np.asarray(rows_ND @ query_D, np.float32)
        blocks = [rows_ND[start : start + BLOCK].astype(np.float32) @ query_D for start in range(0, high, BLOCK)]
        return np.concatenate(blocks or [np.zeros(0, np.float32)])

    def compare(self, query_D: NDArray[np.float32]) -> Products:
        """The query's products with all rows, to find the nearest; by rows of 16 bits, or all (`index.coarse`).

        Raises ValueError where the dimension is not that of the index. Rows must not be written meanwhile, nor while
        the result is used: callers hold the lock of whatever writes.
        """
        query_D = np.array(query_D, np.float32)  # kernels take no frozen one
        if self.dimension and len(query_D) != self.dimension:
            raise ValueError(f"a vector of {len(query_D)} dimensions is compared with rows of {self.dimension}")
        longest, rounded = self._longest, 0.0
        if self._fixed is None:
            product_S = self.products(query_D)
        else:
            with self._lock:
                high = self._raise()
            product_S = self._fixed.products(high, query_D)
            longest, rounded = self._fixed.longest, self._fixed.rounded
        summed = 2 * (len(query_D) + 4) * ROUNDING * longest  # of these sums and of the exact ones
        length = float(np.sqrt(np.square(query_D, dtype=np.float64).sum()))
        return Products(self._rows_ND, query_D, product_S, length * (rounded + summed))

    def search(self, queries_QD: NDArray[np.float32], k: int) -> Hits:
        """The k rows of largest inner product with each query, exact as of a moment between call and return."""
        with self._lock:
            high, began = self._raise(), self._writes
        if not high or not self.dimension:
            return _nothing(len(queries_QD), k)
        hits = self._scan(queries_QD, high, k)
        with self._lock:
            if self._writes == began:
                return hits
            return self._settle(queries_QD, hits, self._writes - began)

    def _raise(self) -> int:
        """Adds the slots allocated since, without vectors. Returns the number of rows."""
        high = self.slots.high
        if self.dimension and high > self._high:
            self._rows_ND[self._high : high] = np.nan
            if self._fixed is not None:
                self._fixed.clear(slice(self._high, high))
            self._high = high
        return high

    def _note(self, slots_N: NDArray[np.int64]) -> None:
        self._writes += 1
        self._journal.append(slots_N)

    def _scan(self, queries_QD: NDArray[np.float32], high: int, k: int) -> Hits:
        if not hasattr(self._thread, "is_set"):
            faiss.omp_set_num_threads(1)  # for this thread: a replica has one core, and OpenMP's waiting would burn it
            self._thread.is_set = True
        if self._rows_ND.dtype == np.float32:
            scores_QK, slots_QK = faiss.knn(queries_QD, self._rows_ND[:high], k, faiss.METRIC_INNER_PRODUCT)
            return Hits(slots_QK, scores_QK)
        parts = []
        for start in range(0, high, BLOCK):
            rows_ND = self._rows_ND[start : min(start + BLOCK, high)].astype(np.float32)
            scores_QK, slots_QK = faiss.knn(queries_QD, rows_ND, k, faiss.METRIC_INNER_PRODUCT)
            parts.append(Hits(np.where(slots_QK < 0, -1, slots_QK + start), scores_QK))
        return _merge(parts, k)

    def _settle(self, queries_QD: NDArray[np.float32], hits: Hits, writes: int) -> Hits:
        """Scores the rows again that were written during the scan. The caller holds the lock.

        A row that no write touched and the scan left out scores at most the k-th hit. So the merged result is exact as
        long as its k-th score is no lower than the scan's. Where it is lower, a row left out may belong in: scan again.
        """
        k = hits.slots_QK.shape[1]
        if writes > len(self._journal):
            return self._scan(queries_QD, self._high, k)
        dirty_N = np.unique(np.concatenate(list(self._journal)[-writes:]))
        dirty_N = dirty_N[dirty_N < self._high]
        clean_QK = ~np.isin(hits.slots_QK, dirty_N)
        clean = Hits(np.where(clean_QK, hits.slots_QK, -1), np.where(clean_QK, hits.scores_QK, -np.inf))
        again_QN = queries_QD @ self._rows_ND[dirty_N].astype(np.float32).T
        gone_QN = np.isnan(again_QN)
        slots_QN = np.where(gone_QN, -1, np.broadcast_to(dirty_N, again_QN.shape))
        merged = _merge([clean, Hits(slots_QN, np.where(gone_QN, -np.inf, again_QN).astype(np.float32))], k)
        was_full = hits.slots_QK[:, -1] >= 0
        if bool(np.any(was_full & (merged.scores_QK[:, -1] < hits.scores_QK[:, -1]))):
            return self._scan(queries_QD, self._high, k)
        return merged


def _merge(parts: Sequence[Hits], k: int) -> Hits:
    scores_QM = np.concatenate([part.scores_QK for part in parts], axis=1)
    slots_QM = np.concatenate([part.slots_QK for part in parts], axis=1)
    best_QK = np.argsort(-scores_QM, axis=1, kind="stable")[:, :k]
    return Hits(np.take_along_axis(slots_QM, best_QK, axis=1), np.take_along_axis(scores_QM, best_QK, axis=1))


def _nothing(queries: int, k: int) -> Hits:
    return Hits(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))
