"""Counts of what all viewers do, one column per channel, in 10-second buckets. Never knows who a viewer is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.events import ACTIVITY_BUCKET_MS as BUCKET_MS
from streaming.room.activity import MAX_ARRIVALS, RECENT_MS
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
    Totals,
)
from training.features.room_columns import SPANS_B
from training.features.visit_kinds import LIVE_MS, SILENCE_MS, VisitKind

NUM_BUCKETS = max(SPANS_B) + 1  # the current one, and those before it
CHATTER_BUCKETS = LIVE_MS // BUCKET_MS
NEVER_MS = -(2**62)


class Crowd:
    """The counts of C channels. `apply` takes messages in time order; `rooms` returns counts up to now."""

    def __init__(self, num_channels: int, order: Sequence[int] | None = None) -> None:
        """order: ranks of the channels by name, for arrivals of one millisecond; None: as numbered."""
        C, S = num_channels, len(SPANS_S)
        self._bucket = 0
        self._counts_BKC = np.zeros((NUM_BUCKETS, NUM_COUNTS, C), np.float32)
        self._whole_SKC = np.zeros((S, NUM_COUNTS, C), np.float32)  # buckets entirely in the span
        self._oldest_SKC = np.zeros((S, NUM_COUNTS, C), np.float32)  # the bucket that is partly in it
        self._latest_BC = np.zeros((NUM_BUCKETS, C), np.float32)  # viewers by the bucket of their latest message
        self._chatters_C = np.zeros(C, np.float32)
        self._last_ms_C = np.full(C, NEVER_MS, np.int64)
        self._started_ms_C = np.zeros(C, np.int64)
        self._totals_KC = np.zeros((NUM_COUNTS, C), np.float32)
        self._broadcast_KC = np.zeros((LEFT + 1, C), np.float32)
        self._order = range(num_channels) if order is None else order
        self._arrivals: dict[int, list[tuple[int, int, int]]] = {}  # to a channel: time and origin, oldest first
        self._newest = NewestArrivals(C, MAX_ARRIVALS)  # origins: channels, counted from 1

    def live(self, at_ms: int) -> NDArray[np.intp]:
        """Channels with a message in the five minutes before, [N], in an order without meaning."""
        return np.flatnonzero(self._last_ms_C >= at_ms - LIVE_MS)

    def visits(self, channel: int) -> int:
        """Number of visits to the channel so far."""
        return int(self._totals_KC[ENTRIES, channel])

    def rooms(self, at_ms: int, live_N: NDArray[np.intp]) -> RoomColumns:
        """Columns of the channels `live_N` as of `at_ms`. One that was silent for half an hour begins anew."""
        self._advance(at_ms)
        begun_N = at_ms - self._last_ms_C[live_N] < SILENCE_MS
        passed = (at_ms - self._bucket * BUCKET_MS) / BUCKET_MS
        filling_KN = self._counts_BKC[self._bucket % NUM_BUCKETS][:, live_N]
        counts_SKN = filling_KN + self._whole_SKC[:, :, live_N]
        counts_SKN += np.float32(1.0 - passed) * self._oldest_SKC[:, :, live_N]
        return RoomColumns(
            counts_SKN=counts_SKN,
            broadcast_KN=np.where(begun_N, self._broadcast_KC[:, live_N], 0),
            age_s_N=np.where(begun_N, at_ms - self._started_ms_C[live_N], 0) / 1e3,
            silence_s_N=(at_ms - self._last_ms_C[live_N]) / 1e3,
        )

    def totals(self, live_N: NDArray[np.intp]) -> Totals:
        """Totals that no replica counts, as of the last moment given to `rooms`."""
        return Totals(totals_KN=self._totals_KC[:, live_N], chatters_N=self._chatters_C[live_N])

    def arrivals(self, live_N: NDArray[np.intp], origin: int | None, at_ms: int) -> ArrivalColumns:
        """Recent arrivals in each channel, and how many of them came from `origin`."""
        return ArrivalColumns.count(self._newest, live_N, 0 if origin is None else origin + 1, at_ms)

    def arrive(self, at_ms: int, origin: int, channel: int) -> None:
        """Notes an arrival in `channel` of a viewer who was last in `origin`, however long ago."""
        came = self._arrivals.setdefault(channel, [])
        came.append((at_ms, self._order[origin], origin + 1))
        came.sort()
        while len(came) > MAX_ARRIVALS or came[0][0] < at_ms - RECENT_MS:
            del came[0]
        self._newest.set(channel, [at_ms for at_ms, _, _ in came], [origin for _, _, origin in came])

    def leave(self, channel: int, entered_ms: int) -> None:
        """Notes that a viewer who entered then is elsewhere now. It does not count if that broadcast is over."""
        if entered_ms >= self._started_ms_C[channel]:
            self._broadcast_KC[LEFT, channel] += 1

    def apply(self, at_ms: int, channel: int, kind: int, previous_ms: int) -> None:
        """Applies one message. previous_ms: of the same viewer in the same channel, NEVER_MS for none."""
        self._advance(at_ms)
        if at_ms - self._last_ms_C[channel] >= SILENCE_MS:
            self._started_ms_C[channel] = at_ms
            self._broadcast_KC[:, channel] = 0
        self._last_ms_C[channel] = at_ms
        slot = self._bucket % NUM_BUCKETS
        filling_KC = self._counts_BKC[slot]
        filling_KC[MESSAGES, channel] += 1
        self._totals_KC[MESSAGES, channel] += 1
        self._broadcast_KC[MESSAGES, channel] += 1
        if kind != VisitKind.NO_VISIT:
            self._count_entry(filling_KC, channel, kind)
        before = previous_ms // BUCKET_MS
        if before > self._bucket - CHATTER_BUCKETS:
            self._latest_BC[before % NUM_BUCKETS, channel] -= 1
        else:
            self._chatters_C[channel] += 1
        self._latest_BC[slot, channel] += 1

    def _count_entry(self, filling_KC: NDArray[np.float32], channel: int, kind: int) -> None:
        for counts_KC in (filling_KC, self._totals_KC, self._broadcast_KC):
            counts_KC[ENTRIES, channel] += 1
            if kind != VisitKind.REPEAT:
                counts_KC[FIRST_ENTRIES, channel] += 1
            if kind == VisitKind.COLD:
                counts_KC[NEWCOMERS, channel] += 1

    def _advance(self, at_ms: int) -> None:
        bucket = at_ms // BUCKET_MS
        if bucket == self._bucket:
            return
        for passed in range(max(self._bucket + 1, bucket - NUM_BUCKETS + 1), bucket + 1):
            self._counts_BKC[passed % NUM_BUCKETS] = 0
            self._latest_BC[passed % NUM_BUCKETS] = 0
        self._bucket = bucket
        for index, span in enumerate(SPANS_B):
            self._oldest_SKC[index] = self._counts_BKC[(bucket - span) % NUM_BUCKETS]
            whole_B = (bucket - np.arange(1, span)) % NUM_BUCKETS
            self._whole_SKC[index] = self._counts_BKC[whole_B].sum(axis=0)
        self._chatters_C = self._latest_BC[(bucket - np.arange(CHATTER_BUCKETS)) % NUM_BUCKETS].sum(axis=0)
