"""Owns how many entered each room lately, as of any moment. Never ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.events import ACTIVITY_BUCKET_MS, ActivityBucket

BUCKETS = 600_000 // ACTIVITY_BUCKET_MS  # ten minutes
MINUTE = 60_000 // ACTIVITY_BUCKET_MS  # buckets of one minute
REPLAY_LAG_MS = 3_600_000  # events older than this are a recording played with its own times: time stands at its head


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of N rooms, float32 [N] each: in the last minute and the last ten, newcomers of them apart."""

    minute_N: NDArray[np.float32]
    ten_minutes_N: NDArray[np.float32]
    newcomers_minute_N: NDArray[np.float32]
    newcomers_ten_minutes_N: NDArray[np.float32]


class Trending:
    """Running sums of the last ten minutes' buckets per slot, newest first, so that a look is one gather per number.

    Column j of a row holds the entries of the j newest buckets of that room; as time passes the look moves left.
    Not thread-safe.
    """

    def __init__(self, max_rooms: int) -> None:
        self._entered_NB = np.zeros((max_rooms, BUCKETS + 1), np.float32)
        self._newcomers_NB = np.zeros((max_rooms, BUCKETS + 1), np.float32)
        self._newest_N = np.zeros(max_rooms, np.int64)  # index of the newest bucket of each row
        self._head = 0  # index of the newest bucket of all rooms

    def set(self, slot: int, buckets: Sequence[ActivityBucket]) -> None:
        """Replaces what is known of a room."""
        if not buckets:
            self.clear(slot)
            return
        newest = max(bucket.bucket_ms for bucket in buckets) // ACTIVITY_BUCKET_MS
        entered, newcomers = [0.0] * (BUCKETS + 1), [0.0] * (BUCKETS + 1)
        for bucket in buckets:
            age = newest - bucket.bucket_ms // ACTIVITY_BUCKET_MS
            if age < BUCKETS:
                entered[age + 1] += bucket.entered
                newcomers[age + 1] += bucket.newcomers
        self._entered_NB[slot] = entered
        self._newcomers_NB[slot] = newcomers
        np.cumsum(self._entered_NB[slot], out=self._entered_NB[slot])
        np.cumsum(self._newcomers_NB[slot], out=self._newcomers_NB[slot])
        self._newest_N[slot] = newest
        self._head = max(self._head, newest)

    def clear(self, slot: int) -> None:
        """Forgets a room."""
        self._entered_NB[slot] = 0
        self._newcomers_NB[slot] = 0
        self._newest_N[slot] = 0

    def event_now_ms(self, now_ms: int) -> int:
        """The time of the events: the clock's, or the newest event's where a recording keeps its own times."""
        head_ms = (self._head + 1) * ACTIVITY_BUCKET_MS
        return head_ms if self._head and now_ms - head_ms > REPLAY_LAG_MS else now_ms

    def entries(self, slots_N: NDArray[np.int64], now_ms: int) -> Entries:
        """Entries of these rooms as of now."""
        age_N = self.event_now_ms(now_ms) // ACTIVITY_BUCKET_MS - self._newest_N[slots_N]
        age_N = np.maximum(age_N, 0)  # a producer's clock may run ahead
        minute_N, ten_N = np.maximum(MINUTE - age_N, 0), np.maximum(BUCKETS - age_N, 0)
        return Entries(
            self._entered_NB[slots_N, minute_N],
            self._entered_NB[slots_N, ten_N],
            self._newcomers_NB[slots_N, minute_N],
            self._newcomers_NB[slots_N, ten_N],
        )
