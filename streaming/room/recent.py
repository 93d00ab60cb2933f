"""A room's message counts in buckets of ten seconds over its last ten minutes. Never sees a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streaming.events import ACTIVITY_BUCKET_MS
from streaming.room.slice import SLICE_MS

RECENT_BUCKETS = 61  # ten minutes, and the bucket that lies partly within them
SLICES_PER_BUCKET = ACTIVITY_BUCKET_MS // SLICE_MS


class RecentMessages:
    """Message counts by bucket of event time, up to the newest bucket. The order of adding does not matter.

    `counts` are of all messages, `heard` of those that count in a rate.
    """

    __slots__ = ("_counts", "_heard", "_newest")

    def __init__(self) -> None:
        self._newest = -1  # bucket
        self._counts: list[int] = []  # oldest first, the first not zero, at most RECENT_BUCKETS
        self._heard: list[int] = []  # of the same length

    def add(self, tally: Mapping[int, int], heard: Mapping[int, int]) -> None:
        """Adds messages by slice of 5 s, and how many of them count in a rate."""
        for index, messages in tally.items():
            if messages:
                self._add(index // SLICES_PER_BUCKET, messages, heard.get(index, 0))

    def _add(self, bucket: int, messages: int, heard: int) -> None:
        counts, ahead = self._counts, bucket - self._newest
        if ahead > 0:
            self._newest = bucket
            if ahead >= RECENT_BUCKETS or not counts:
                self._counts, self._heard = [messages], [heard]
                return
            silence = [0] * (ahead - 1)
            counts += [*silence, messages]
            self._heard += [*silence, heard]
            if len(counts) > RECENT_BUCKETS:
                first = len(counts) - RECENT_BUCKETS
                while not counts[first]:
                    first += 1
                del counts[:first], self._heard[:first]
        elif -ahead < len(counts):
            counts[ahead - 1] += messages
            self._heard[ahead - 1] += heard
        elif -ahead < RECENT_BUCKETS:
            silence = [0] * (-ahead - len(counts))
            counts[:0] = [messages, *silence]
            self._heard[:0] = [heard, *silence]

    def counts(self) -> tuple[int, ...]:
        """Messages of each bucket up to the newest, oldest first; earlier buckets are 0."""
        return tuple(self._counts)

    def heard(self) -> tuple[int, ...]:
        """`counts` of the messages that count in a rate."""
        return tuple(self._heard)

    @property
    def newest_ms(self) -> int:
        """Start of the newest bucket, 0 for none."""
        return max(0, self._newest) * ACTIVITY_BUCKET_MS

    def restore(self, counts: Sequence[int], heard: Sequence[int], newest_ms: int) -> None:
        """Continues from counts; the last is that of the bucket that starts at newest_ms.

        heard: empty in records of earlier builds; then it is taken to equal `counts`.
        """
        self._counts, self._heard = list(counts), list(heard or counts)
        self._newest = newest_ms // ACTIVITY_BUCKET_MS if self._counts else -1
