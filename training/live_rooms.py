"""Holds by slot what RoomStates say of live rooms, and gives the crowd's columns as of any moment. Never ranks.

The same class serves in replicas and makes training examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.activity import MAX_ARRIVALS
from streaming.events import ACTIVITY_BUCKET_MS, RoomState, StreamerId
from training.features import ENTRIES, FIRST_ENTRIES, MESSAGES, NEWCOMERS, NUM_COUNTS, SPANS_S, Arrivals, Rooms

BUCKETS = 600_000 // ACTIVITY_BUCKET_MS  # ten minutes
MINUTE = 60_000 // ACTIVITY_BUCKET_MS  # buckets of one minute
SPANS_B = tuple(1_000 * span_s // ACTIVITY_BUCKET_MS for span_s in SPANS_S)
WIDTH = BUCKETS + 2  # nothing, the bucket that is being filled, those before it, and the one that has passed in part
REPLAY_LAG_MS = 3_600_000  # events older than this are a recording played with its own times: time stands at its head


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries of N rooms, float32 [N] each: in the last minute and the last ten, newcomers of them apart."""

    minute_N: NDArray[np.float32]
    ten_minutes_N: NDArray[np.float32]
    newcomers_minute_N: NDArray[np.float32]
    newcomers_ten_minutes_N: NDArray[np.float32]


class LiveRooms:
    """Running sums of the last ten minutes' buckets, newest first, so that a look is one gather per span.

    Place j of a row holds the counts of the j newest buckets of that room; as time passes the look moves left.
    Zero pages cost nothing until a room has the row. Not thread-safe.
    """

    def __init__(self, max_rooms: int) -> None:
        self._sums_NBK = np.zeros((max_rooms, WIDTH, NUM_COUNTS), np.float32)
        self._broadcast_NK = np.zeros((max_rooms, NUM_COUNTS), np.float32)
        self._newest_N = np.zeros(max_rooms, np.int64)  # index of the newest bucket of each row
        self._started_ms_N = np.zeros(max_rooms, np.int64)
        self._chat_ms_N = np.zeros(max_rooms, np.int64)
        self._came_ms_NA = np.zeros((max_rooms, MAX_ARRIVALS), np.int64)
        self._origin_NA = np.zeros((max_rooms, MAX_ARRIVALS), np.int64)  # hashes of this process
        self._head = 0  # index of the newest bucket of all rooms

    def set(self, slot: int, state: RoomState) -> None:
        """Replaces what is known of a room."""
        messages_bucket = state.recent_messages_ms // ACTIVITY_BUCKET_MS
        entries_bucket = max([bucket.bucket_ms for bucket in state.recent], default=0) // ACTIVITY_BUCKET_MS
        newest = max(messages_bucket, entries_bucket)
        counts_BK = [[0.0] * NUM_COUNTS for _ in range(WIDTH)]
        for place, messages in enumerate(reversed(state.recent_messages[-BUCKETS - 1 :]), newest - messages_bucket + 1):
            if place < WIDTH:
                counts_BK[place][MESSAGES] = messages
        for bucket in state.recent:
            place = newest - bucket.bucket_ms // ACTIVITY_BUCKET_MS + 1
            if place < WIDTH:
                counts_K = counts_BK[place]
                counts_K[ENTRIES] += bucket.entered
                counts_K[FIRST_ENTRIES] += bucket.first_entered
                counts_K[NEWCOMERS] += bucket.newcomers
        np.cumsum(counts_BK, axis=0, dtype=np.float32, out=self._sums_NBK[slot])
        self._newest_N[slot] = newest
        self._head = max(self._head, newest)
        self._broadcast_NK[slot] = (state.messages, state.entered, state.first_entered, state.newcomers)
        self._started_ms_N[slot], self._chat_ms_N[slot] = state.started_at_ms, state.chat_at_ms
        arrivals = state.arrivals[-MAX_ARRIVALS:]
        self._came_ms_NA[slot] = 0
        if arrivals:
            self._came_ms_NA[slot, : len(arrivals)] = [arrival.at_ms for arrival in arrivals]
            self._origin_NA[slot, : len(arrivals)] = [hash(arrival.streamer) for arrival in arrivals]

    def clear(self, slot: int) -> None:
        """Forgets a room."""
        self._sums_NBK[slot] = self._broadcast_NK[slot] = self._came_ms_NA[slot] = 0
        self._newest_N[slot] = self._started_ms_N[slot] = self._chat_ms_N[slot] = 0

    def event_now_ms(self, now_ms: int) -> int:
        """The time of the events: the clock's, or the newest event's where a recording keeps its own times."""
        head_ms = (self._head + 1) * ACTIVITY_BUCKET_MS
        return head_ms if self._head and now_ms - head_ms > REPLAY_LAG_MS else now_ms

    def entries(self, slots_N: NDArray[np.int64], now_ms: int) -> Entries:
        """Entries of these rooms as of now."""
        age_N = self._age(slots_N, self.event_now_ms(now_ms))
        minute_NK = self._sums_NBK[slots_N, np.maximum(MINUTE - age_N, 0)]
        ten_NK = self._sums_NBK[slots_N, np.maximum(BUCKETS - age_N, 0)]
        return Entries(minute_NK[:, ENTRIES], ten_NK[:, ENTRIES], minute_NK[:, NEWCOMERS], ten_NK[:, NEWCOMERS])

    def rooms(self, slots_N: NDArray[np.int64], now_ms: int) -> Rooms:
        """The crowd's columns of these rooms as of now_ms, a time of the events."""
        age_N = self._age(slots_N, now_ms)
        left = np.float32(1.0 - now_ms % ACTIVITY_BUCKET_MS / ACTIVITY_BUCKET_MS)  # of the oldest bucket
        counts_SKN = np.empty((len(SPANS_B), NUM_COUNTS, len(slots_N)), np.float32)
        for index, span in enumerate(SPANS_B):
            whole_NK = self._sums_NBK[slots_N, np.maximum(span - age_N, 0)]
            oldest_NK = self._sums_NBK[slots_N, np.maximum(span + 1 - age_N, 0)] - whole_NK
            counts_SKN[index] = (whole_NK + left * oldest_NK).T
        return Rooms(
            counts_SKN=counts_SKN,
            broadcast_KN=self._broadcast_NK[slots_N].T,
            age_s_N=np.maximum(now_ms - self._started_ms_N[slots_N], 0) / 1e3,
            silence_s_N=np.maximum(now_ms - self._chat_ms_N[slots_N], 0) / 1e3,
        )

    def arrivals(self, slots_N: NDArray[np.int64], origin: StreamerId | None, now_ms: int) -> Arrivals:
        """Columns of these rooms for a viewer who was with `origin` last, None for nowhere."""
        hashed = None if origin is None else hash(origin)
        return Arrivals.count(self._came_ms_NA[slots_N], self._origin_NA[slots_N], hashed, now_ms)

    def _age(self, slots_N: NDArray[np.int64], now_ms: int) -> NDArray[np.int64]:
        """[N] buckets since each room's newest; a producer's clock may run ahead."""
        age_N: NDArray[np.int64] = np.maximum(now_ms // ACTIVITY_BUCKET_MS - self._newest_N[slots_N], 0)
        return age_N
