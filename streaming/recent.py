"""Owns how many messages a room had in each ten seconds of its last ten minutes. Never sees a message."""

from __future__ import annotations

from collections.abc import Mapping

from streaming.events import ACTIVITY_BUCKET_MS, RoomState
from streaming.slice import SLICE_MS

RECENT_BUCKETS = 61  # ten minutes, and the bucket of which a part still lies within them
SLICES_PER_BUCKET = ACTIVITY_BUCKET_MS // SLICE_MS


class RecentMessages:
    """Counts by bucket of event time, up to the newest bucket. In whatever order they are added, they end the same."""

    __slots__ = ("_counts", "_newest")

    def __init__(self) -> None:
        self._newest = -1  # bucket
        self._counts: list[int] = []  # oldest first, the first not zero, at most RECENT_BUCKETS

    def add(self, tally: Mapping[int, int]) -> None:
        """Adds messages by slice of 5 s."""
        for index, messages in tally.items():
            if messages:
                self._add(index // SLICES_PER_BUCKET, messages)

    def _add(self, bucket: int, messages: int) -> None:
        counts, ahead = self._counts, bucket - self._newest
        if ahead > 0:
            self._newest = bucket
            if ahead >= RECENT_BUCKETS or not counts:
                self._counts = [messages]
                return
            counts += [0] * (ahead - 1) + [messages]
            if len(counts) > RECENT_BUCKETS:
                first = len(counts) - RECENT_BUCKETS
                while not counts[first]:
                    first += 1
                del counts[:first]
        elif -ahead < len(counts):
            counts[ahead - 1] += messages
        elif -ahead < RECENT_BUCKETS:
            counts[:0] = [messages] + [0] * (-ahead - len(counts))

    def counts(self) -> tuple[int, ...]:
        """Messages of each bucket up to the newest, oldest first; what comes before them is 0."""
        return tuple(self._counts)

    @property
    def newest_ms(self) -> int:
        """Start of the newest bucket, 0 for none."""
        return max(0, self._newest) * ACTIVITY_BUCKET_MS

    def restore(self, state: RoomState) -> None:
        """Continues from a state."""
        self._counts = list(state.recent_messages)
        self._newest = state.recent_messages_ms // ACTIVITY_BUCKET_MS if self._counts else -1
