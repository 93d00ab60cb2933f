"""Bounded samples of a slice: distinct viewers and distinct texts. Never depends on the order of arrival.

Both keep the k smallest by a hash that is the same in every process (KMV: Bar-Yossef et al., Counting Distinct Elements
in a Data Stream, 2002). An element among the k smallest of all was among them at every moment, so the sample is a
function of the set that arrived. Nothing is hashed until there are more than k.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nsmallest
from typing import Final
from zlib import crc32

from streaming.room.text import SampledText

HASH_SPAN: Final = 1 << 64
KEPT_PER_LIMIT: Final = 4  # dropping costs a hash of each: many slices are gone before they need it
_MASK: Final = HASH_SPAN - 1
_SPREAD: Final = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, odd: spreads numbered names


def unit_hashes(texts: Iterable[str]) -> list[int]:
    """Hashes texts evenly to 0 .. 2^64 - 1; two texts in 2^32 share one. A tenth of a cryptographic hash's cost."""
    texts = list(texts)
    try:
        return [crc32(text.encode()) * _SPREAD & _MASK for text in texts]
    except UnicodeEncodeError:  # a lone surrogate
        return [crc32(text.encode("utf-8", "surrogatepass")) * _SPREAD & _MASK for text in texts]


class DistinctViewers:
    """Counts distinct viewers: exact up to `limit`, else estimated. Keeps KEPT_PER_LIMIT * limit between updates."""

    __slots__ = ("_hashes", "_limit", "_threshold", "_viewers")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._viewers: set[str] = set()
        self._hashes: set[int] | None = None  # replaces `_viewers` once there are too many
        self._threshold = HASH_SPAN

    def update(self, viewers: Iterable[str]) -> None:
        """Adds viewers."""
        if self._hashes is None:
            self._viewers.update(viewers)
            if len(self._viewers) > KEPT_PER_LIMIT * self._limit:
                self._overflow()
            return
        threshold = self._threshold
        self._hashes.update([hashed for hashed in unit_hashes(viewers) if hashed < threshold])
        if len(self._hashes) > KEPT_PER_LIMIT * self._limit:
            self._forget(self._hashes)

    def _overflow(self) -> set[int]:
        """Replaces the viewers by their hashes, and returns these."""
        if self._hashes is None:
            self._forget(set(unit_hashes(self._viewers)))
            self._viewers = set()
        assert self._hashes is not None
        return self._hashes

    def _forget(self, hashes: set[int]) -> None:
        """Keeps the `limit` smallest hashes."""
        if len(hashes) > self._limit:
            smallest = nsmallest(self._limit, hashes)
            hashes, self._threshold = set(smallest), smallest[-1] + 1
        self._hashes = hashes

    @staticmethod
    def count(parts: Iterable[DistinctViewers], limit: int) -> int:
        """Counts distinct viewers of the union of the parts: exact while none has overflowed."""
        parts = list(parts)
        if all(part._hashes is None and len(part._viewers) <= limit for part in parts):
            return len(set().union(*(part._viewers for part in parts)))
        hashes: set[int] = set()
        for part in parts:
            few = part._hashes is None and len(part._viewers) <= limit
            hashes.update(unit_hashes(part._viewers) if few else part._overflow())
        # An overflowed part has at least `limit` hashes, so the union's `limit` smallest are all known.
        kth = nsmallest(limit, hashes)[-1]
        return max(limit, round((limit - 1) * HASH_SPAN / (kth + 1)))


class TextSample:
    """A uniform sample of at most `limit` distinct texts with the first event time and the count of each."""

    __slots__ = ("_counts", "_first_at_ms", "_limit", "_threshold")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first_at_ms: dict[str, int] = {}
        self._counts: dict[str, int] = {}  # only for texts that came more than once
        self._threshold = HASH_SPAN

    def update(self, texts: Sequence[str], times_ms: Sequence[int]) -> None:
        """Adds texts, each with its event time."""
        known, counts = self._first_at_ms, self._counts
        outside = self._outside(texts)
        for text, at_ms in zip(texts, times_ms, strict=True):
            first_at_ms = known.get(text)
            if first_at_ms is not None:
                if at_ms < first_at_ms:
                    known[text] = at_ms
                counts[text] = counts.get(text, 1) + 1
            elif text not in outside:
                known[text] = at_ms
        if len(known) > KEPT_PER_LIMIT * self._limit:
            self._prune()

    def _outside(self, texts: Iterable[str]) -> set[str]:
        """The texts that are not among the smallest; each is hashed once, however often it comes."""
        threshold = self._threshold
        if threshold == HASH_SPAN:
            return set()
        new = set(texts).difference(self._first_at_ms)
        return {text for text, hashed in zip(new, unit_hashes(new), strict=True) if hashed >= threshold}

    def _prune(self) -> None:
        # Texts that share a hash are ordered by the text, so that the choice does not depend on arrival.
        known = list(self._first_at_ms)
        smallest = sorted(zip(unit_hashes(known), known, strict=True))[: self._limit]
        self._first_at_ms = {text: self._first_at_ms[text] for _, text in smallest}
        self._counts = {text: count for text, count in self._counts.items() if text in self._first_at_ms}
        self._threshold = smallest[-1][0] + 1

    def newest_first(self) -> list[SampledText]:
        """The texts in order of their first copies, newest first, then by text."""
        if len(self._first_at_ms) > self._limit:
            self._prune()
        copies = self._counts
        newest_first = [(-at_ms, text, copies.get(text, 1)) for text, at_ms in self._first_at_ms.items()]
        newest_first.sort()
        return newest_first
