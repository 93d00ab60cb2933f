"""Owns the bounded samples of a slice: distinct viewers and distinct texts. Never depends on the order of arrival.

Both keep the k smallest by a hash that is the same in every process (KMV: Bar-Yossef et al., Counting Distinct Elements
in a Data Stream, 2002). What is among the k smallest of all was among them at every moment, so what is kept is a
function of the set that arrived. Nothing is hashed until there are more than k.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest

from streaming.text import text_hash

HASH_SPAN = 1 << 64


def unit_hash(text: str) -> int:
    """A hash in 0 .. 2^64 - 1, uniform."""
    return text_hash(text) % HASH_SPAN


class DistinctViewers:
    """Distinct viewers: exact up to `limit`, estimated past it. Holds at most 2 * limit entries."""

    __slots__ = ("_hashes", "_limit", "_threshold", "_viewers")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._viewers: set[str] = set()
        self._hashes: set[int] | None = None  # instead of `_viewers` once there are too many
        self._threshold = HASH_SPAN

    def add(self, viewer: str) -> None:
        """Counts a viewer."""
        if self._hashes is None:
            self._viewers.add(viewer)
            if len(self._viewers) > self._limit:
                self._hashes = set(map(unit_hash, self._viewers))
                self._viewers = set()
            return
        hashed = unit_hash(viewer)
        if hashed < self._threshold:
            self._hashes.add(hashed)
            if len(self._hashes) > 2 * self._limit:
                smallest = nsmallest(self._limit, self._hashes)
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

    def add(self, text: str, at_ms: int) -> None:
        """Counts a text."""
        first_at_ms = self._first_at_ms.get(text)
        if first_at_ms is not None:
            if at_ms < first_at_ms:
                self._first_at_ms[text] = at_ms
            self._counts[text] = self._counts.get(text, 1) + 1
            return
        if self._threshold < HASH_SPAN and unit_hash(text) >= self._threshold:
            return
        self._first_at_ms[text] = at_ms
        if len(self._first_at_ms) > 2 * self._limit:
            self._prune()

    def _prune(self) -> None:
        smallest = nsmallest(self._limit, self._first_at_ms, key=unit_hash)
        self._first_at_ms = {text: self._first_at_ms[text] for text in smallest}
        self._counts = {text: count for text, count in self._counts.items() if text in self._first_at_ms}
        self._threshold = unit_hash(smallest[-1]) + 1

    def newest_first(self) -> list[tuple[int, str]]:
        """(event time of the earliest copy, text), newest first, then by text."""
        if len(self._first_at_ms) > self._limit:
            self._prune()
        newest_first = [(-at_ms, text) for text, at_ms in self._first_at_ms.items()]
        newest_first.sort()
        return [(-negative, text) for negative, text in newest_first]

    def count(self, text: str) -> int:
        """Copies of a text that is in the sample."""
        return self._counts.get(text, 1)
