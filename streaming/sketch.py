"""Owns the bounded samples of a slice: distinct viewers and distinct texts. Never depends on the order of arrival.

Both keep the k smallest by a hash that is the same in every process (KMV: Bar-Yossef et al., Counting Distinct Elements
in a Data Stream, 2002). What is among the k smallest of all was among them at every moment, so what is kept is a
function of the set that arrived. Nothing is hashed until there are more than k.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest
from typing import Final
from zlib import crc32

from streaming.text import SampledText

HASH_SPAN: Final = 1 << 64
_MASK: Final = HASH_SPAN - 1
_SPREAD: Final = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd: names that count up do not stay in a row


def unit_hash(text: str) -> int:
    """A hash in 0 .. 2^64 - 1, spread evenly; two texts in 2^32 share one. A sixth of a cryptographic hash's cost."""
    return crc32(text.encode("utf-8", "surrogatepass")) * _SPREAD & _MASK


class DistinctViewers:
    """Distinct viewers: exact up to `limit`, estimated past it. Holds at most 2 * limit entries between updates."""

    __slots__ = ("_hashes", "_limit", "_threshold", "_viewers")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._viewers: set[str] = set()
        self._hashes: set[int] | None = None  # instead of `_viewers` once there are too many
        self._threshold = HASH_SPAN

    def update(self, viewers: Iterable[str]) -> None:
        """Counts viewers."""
        limit = self._limit
        if self._hashes is None:
            self._viewers.update(viewers)
            if len(self._viewers) <= limit:
                return
            self._hashes, self._viewers = set(map(unit_hash, self._viewers)), set()
        else:
            threshold = self._threshold
            self._hashes.update(hashed for hashed in map(unit_hash, viewers) if hashed < threshold)
        if len(self._hashes) > 2 * limit:
            smallest = nsmallest(limit, self._hashes)
            self._hashes = set(smallest)
            self._threshold = smallest[-1] + 1

    @staticmethod
    def count(parts: Iterable[DistinctViewers], limit: int) -> int:
        """Distinct viewers of the union of the parts: exact while none has overflowed."""
        parts = list(parts)
        if all(part._hashes is None for part in parts):
            return len(set().union(*(part._viewers for part in parts)))
        hashes: set[int] = set()
        for part in parts:
            hashes.update(map(unit_hash, part._viewers) if part._hashes is None else part._hashes)
        # An overflowed part holds at least `limit` hashes, so the union's `limit` smallest are all known.
        kth = nsmallest(limit, hashes)[-1]
        return max(limit, round((limit - 1) * HASH_SPAN / (kth + 1)))


class TextSample:
    """A uniform sample of at most `limit` distinct texts with the first event time and the count of each."""

    __slots__ = ("_counts", "_first_at_ms", "_limit", "_threshold")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first_at_ms: dict[str, int] = {}
        self._counts: dict[str, int] = {}  # only of texts that came more than once
        self._threshold = HASH_SPAN

    def update(self, texts: Iterable[tuple[str, int]]) -> None:
        """Counts texts, each with its event time."""
        known, counts, threshold = self._first_at_ms, self._counts, self._threshold
        for text, at_ms in texts:
            first_at_ms = known.get(text)
            if first_at_ms is not None:
                if at_ms < first_at_ms:
                    known[text] = at_ms
                counts[text] = counts.get(text, 1) + 1
            elif threshold == HASH_SPAN or unit_hash(text) < threshold:
                known[text] = at_ms
        if len(known) > 2 * self._limit:
            self._prune()

    def _prune(self) -> None:
        # Texts that share a hash are told apart by themselves, so that which of them is kept depends on no order.
        smallest = sorted([(unit_hash(text), text) for text in self._first_at_ms])[: self._limit]
        self._first_at_ms = {text: self._first_at_ms[text] for _, text in smallest}
        self._counts = {text: count for text, count in self._counts.items() if text in self._first_at_ms}
        self._threshold = smallest[-1][0] + 1

    def newest_first(self) -> list[SampledText]:
        """The texts, newest first copy first, then by text."""
        if len(self._first_at_ms) > self._limit:
            self._prune()
        copies = self._counts
        newest_first = [(-at_ms, text, copies.get(text, 1)) for text, at_ms in self._first_at_ms.items()]
        newest_first.sort()
        return newest_first
