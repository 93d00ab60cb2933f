"""Counts of live rooms by slot, from RoomStates, and the room features' input columns at any time. Never ranks.

Replicas and training examples use the same class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.event_clock import EventClock
from streaming.events import ACTIVITY_BUCKET_MS, ActivityBucket, RoomState, StreamerId
from streaming.room.activity import MAX_ARRIVALS
from streaming.room.room import RoomCounts
from training.features.columns import ArrivalColumns, NewestArrivals
from training.features.features import (
    ENTRIES,
    FIRST_ENTRIES,
    LEFT,
    MESSAGES,
    NEWCOMERS,
    NUM_COUNTS,
    SPANS_S,
    RoomColumns,
)

BUCKETS = 600_000 // ACTIVITY_BUCKET_MS  # ten minutes
MINUTE = 60_000 // ACTIVITY_BUCKET_MS  # buckets of one minute
SPANS_B = tuple(1_000 * span_s // ACTIVITY_BUCKET_MS for span_s in SPANS_S)
WIDTH = BUCKETS + 2  # nothing, the bucket that is being filled, those before it, and the one that has passed in part


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries into N rooms in the last minute and the last ten, float32 [N] each, and those of newcomers."""

    minute_N: NDArray[np.float32]
    ten_minutes_N: NDArray[np.float32]
    newcomers_minute_N: NDArray[np.float32]
    newcomers_ten_minutes_N: NDArray[np.float32]


class LiveRooms:
    """Counts of live rooms over the last ten minutes, by slot. Not thread-safe.

    They are running sums of buckets, newest first, so that a span is one gather: place j of a row holds the counts of
    that room's j newest buckets, and as time passes the place moves left. Zero pages cost nothing until a room has the
    row.
    """

    def __init__(self, max_rooms: int) -> None:
        self._sums_NBK = np.zeros((max_rooms, WIDTH, NUM_COUNTS), np.float32)
        self._broadcast_NK = np.zeros((max_rooms, LEFT + 1), np.float32)
        self._newest_N = np.zeros(max_rooms, np.int64)  # index of the newest bucket of each row
        self._started_ms_N = np.zeros(max_rooms, np.int64)
        self._chat_ms_N = np.zeros(max_rooms, np.int64)
        # Messages that count in a rate: place j holds those of the j newest buckets, the newest being _heard_newest_N.
        self._heard_NB = np.zeros((max_rooms, MINUTE + 2), np.float32)
        self._heard_newest_N = np.zeros(max_rooms, np.int64)
        self._heard_ms_N = np.zeros(max_rooms, np.int64)  # the newest message, or the end of its bucket
        # As _sums_NBK: entries of viewers who had been there less than ten minutes before.
        self._again_NB = np.zeros((max_rooms, WIDTH), np.float32)
        self._with_again: set[int] = set()  # slots whose row is not all zero
        self._clock = EventClock()
        self.came = NewestArrivals(max_rooms, MAX_ARRIVALS)  # origins: hashes of this process
        self._row_BK = np.zeros((WIDTH, NUM_COUNTS), np.float32)  # scratch
        self._recent: dict[int, tuple[ActivityBucket, ...]] = {}  # by slot
        self._spans_S1 = np.repeat(SPANS_B, 2)[:, None] + np.tile([0, 1], len(SPANS_B))[:, None]  # whole, and one more

    def set(self, slot: int, state: RoomState | RoomCounts) -> None:
        """Replaces the counts of the room in a slot."""
        messages_bucket = state.recent_messages_ms // ACTIVITY_BUCKET_MS
        newest = messages_bucket
        if state.recent:
            newest = max(newest, state.recent[0].bucket_ms // ACTIVITY_BUCKET_MS)  # whichever end is the newest
            newest = max(newest, state.recent[-1].bucket_ms // ACTIVITY_BUCKET_MS)
        counts = state.recent_messages[::-1][: max(0, BUCKETS + 1 - (newest - messages_bucket))]
        first = newest - messages_bucket + 1
        row_BK = self._row_BK
        row_BK[:] = 0
        row_BK[first : first + len(counts), MESSAGES] = counts
        if self._recent.get(slot) == state.recent and self._newest_N[slot] == newest:  # only chat since
            np.cumsum(row_BK[:, MESSAGES], out=self._sums_NBK[slot, :, MESSAGES])
        else:
            if state.recent:
                self._put_entries(row_BK, state.recent, newest)
            np.cumsum(row_BK, axis=0, out=self._sums_NBK[slot])
            self._recent[slot] = state.recent
        self._newest_N[slot] = newest
        whole = state.messages, state.entered, state.first_entered, state.newcomers, state.left
        self._broadcast_NK[slot] = whole
        self._started_ms_N[slot], self._chat_ms_N[slot] = state.started_at_ms, state.chat_at_ms
        if state.arrivals or self.came.num_R[slot]:
            arrivals = state.arrivals[-MAX_ARRIVALS:]
            origins = [hash(arrival.streamer) for arrival in arrivals]
            self.came.set(slot, [arrival.at_ms for arrival in arrivals], origins)

    def hear(self, slot: int, state: RoomState) -> None:
        """Replaces the counts behind a room's chat rate, and moves the events' time on."""
        counts, newest_ms = state.recent_heard or state.recent_messages, state.recent_messages_ms
        if not counts and state.window_messages:  # a state of an early build
            counts, newest_ms = (state.window_messages,), state.chat_at_ms
        row_B = self._heard_NB[slot]
        row_B[:] = 0
        newest_B = counts[: -MINUTE - 2 : -1]
        row_B[1 : 1 + len(newest_B)] = newest_B
        np.cumsum(row_B, out=row_B)
        self._heard_newest_N[slot] = newest_ms // ACTIVITY_BUCKET_MS
        self._heard_ms_N[slot] = state.chat_at_ms if state.chat_at_ms >= newest_ms else newest_ms + ACTIVITY_BUCKET_MS
        self._put_again(slot, state.recent)
        self._clock.note(state.chat_at_ms, state.chat_arrived_ms or state.alive_ms)
        if state.recent:
            entered_ms = max(state.recent[0].bucket_ms, state.recent[-1].bucket_ms)
            self._clock.note(entered_ms, state.entries_arrived_ms or state.alive_ms)

    def _put_again(self, slot: int, recent: Sequence[ActivityBucket]) -> None:
        newest = int(self._newest_N[slot])
        again = {newest - one.bucket_ms // ACTIVITY_BUCKET_MS + 1: one.again for one in recent if one.again}
        if not (again or slot in self._with_again):
            return
        row_B = self._again_NB[slot]
        row_B[:] = 0
        for place, entries in again.items():
            if place < WIDTH:
                row_B[place] = entries
        np.cumsum(row_B, out=row_B)
        self._with_again.add(slot)

    def messages(self, slots_N: NDArray[np.int64], span_s: int, now_ms: int) -> NDArray[np.float32]:
        """Messages of the last span_s seconds, float32 [N]; of each chatter at most three in 5 s count.

        span_s: one of SPANS_S up to a minute. now_ms: the clock's time. Older messages do not count, whether or not
        the room has had a new state since.
        """
        event_ms, span = self.event_now_ms(now_ms), SPANS_B[SPANS_S.index(span_s)]
        age_N = np.maximum(event_ms // ACTIVITY_BUCKET_MS - self._heard_newest_N[slots_N], 0)
        left = np.float32(1.0 - event_ms % ACTIVITY_BUCKET_MS / ACTIVITY_BUCKET_MS)  # of the oldest bucket
        whole_N = self._heard_NB[slots_N, np.maximum(span - age_N, 0)]
        more_N = self._heard_NB[slots_N, np.maximum(span + 1 - age_N, 0)]
        heard_N: NDArray[np.float32] = whole_N + left * (more_N - whole_N)
        heard_N[event_ms - self._heard_ms_N[slots_N] >= 1_000 * span_s] = 0  # the oldest bucket was, at its beginning
        return heard_N

    def chat_per_minute(self, slots_N: NDArray[np.int64], now_ms: int) -> NDArray[np.float32]:
        """Messages of the last minute, float32 [N]; 0 after a minute of silence."""
        return self.messages(slots_N, 60, now_ms)

    def _put_entries(self, row_BK: NDArray[np.float32], recent: Sequence[ActivityBucket], newest: int) -> None:
        oldest_ms = (newest - BUCKETS) * ACTIVITY_BUCKET_MS
        if recent[0].bucket_ms < oldest_ms or recent[-1].bucket_ms < oldest_ms:
            recent = [bucket for bucket in recent if bucket.bucket_ms >= oldest_ms]
        places = [newest - bucket.bucket_ms // ACTIVITY_BUCKET_MS + 1 for bucket in recent]
        row_BK[places, ENTRIES] = [bucket.entered for bucket in recent]
        row_BK[places, FIRST_ENTRIES] = [bucket.first_entered for bucket in recent]
        row_BK[places, NEWCOMERS] = [bucket.newcomers for bucket in recent]

    def begin(self, slot: int, at_ms: int) -> None:
        """Clears a slot for a room that begins at at_ms."""
        self.clear(slot)
        self._started_ms_N[slot] = at_ms

    def clear(self, slot: int) -> None:
        """Clears the slot of a room that is gone."""
        self._recent.pop(slot, None)
        self._sums_NBK[slot] = self._broadcast_NK[slot] = 0
        self._newest_N[slot] = self._started_ms_N[slot] = self._chat_ms_N[slot] = 0
        self._heard_NB[slot] = 0
        self._heard_newest_N[slot] = self._heard_ms_N[slot] = 0
        self._put_again(slot, ())
        self._with_again.discard(slot)
        self.came.set(slot, (), ())

    def event_now_ms(self, now_ms: int) -> int:
        """The events' time in ms: the clock's, or a recording's own (`streaming/event_clock.py`)."""
        return self._clock.now_ms(now_ms)

    def entries(self, slots_N: NDArray[np.int64], now_ms: int) -> Entries:
        """Entries into these rooms as of now; a viewer counts once in ten minutes."""
        age_N = self._age(slots_N, self.event_now_ms(now_ms))
        minute_N, ten_N = np.maximum(MINUTE - age_N, 0), np.maximum(BUCKETS - age_N, 0)
        minute_NK, ten_NK = self._sums_NBK[slots_N, minute_N], self._sums_NBK[slots_N, ten_N]
        return Entries(
            minute_NK[:, ENTRIES] - self._again_NB[slots_N, minute_N],
            ten_NK[:, ENTRIES] - self._again_NB[slots_N, ten_N],
            minute_NK[:, NEWCOMERS],
            ten_NK[:, NEWCOMERS],
        )

    def rooms(self, slots_N: NDArray[np.int64], now_ms: int) -> RoomColumns:
        """Input columns of the room features as of now_ms, an event time."""
        age_N = self._age(slots_N, now_ms)
        left = np.float32(1.0 - now_ms % ACTIVITY_BUCKET_MS / ACTIVITY_BUCKET_MS)  # of the oldest bucket
        sums_SNK = self._sums_NBK[slots_N, np.maximum(self._spans_S1 - age_N, 0)]
        whole_SNK = sums_SNK[::2]
        counts_SNK = whole_SNK + left * (sums_SNK[1::2] - whole_SNK)
        return RoomColumns(
            counts_SKN=counts_SNK.transpose(0, 2, 1),
            broadcast_KN=self._broadcast_NK[slots_N].T,
            age_s_N=np.maximum(now_ms - self._started_ms_N[slots_N], 0) / 1e3,
            silence_s_N=np.maximum(now_ms - self._chat_ms_N[slots_N], 0) / 1e3,
        )

    def arrivals(self, slots_N: NDArray[np.int64], origin: StreamerId | None, now_ms: int) -> ArrivalColumns:
        """Arrival columns of these rooms for a viewer who was with the streamer `origin` last, None for none."""
        return ArrivalColumns.count(self.came, slots_N, self.origin(origin), now_ms)

    @staticmethod
    def origin(streamer: StreamerId | None) -> int:
        """The number that stands for a streamer in `came`; 0 for none."""
        return 0 if streamer is None else hash(streamer)

    def _age(self, slots_N: NDArray[np.int64], now_ms: int) -> NDArray[np.int64]:
        """The number of buckets since each room's newest, int64 [N], at least 0: a producer's clock may run ahead."""
        age_N: NDArray[np.int64] = np.maximum(now_ms // ACTIVITY_BUCKET_MS - self._newest_N[slots_N], 0)
        return age_N
