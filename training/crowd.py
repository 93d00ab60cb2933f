"""Counts what all viewers do, a column a channel, in 10-second buckets. Never knows who a viewer is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.features import ENTRIES, FIRST_ENTRIES, MESSAGES, NEWCOMERS, NUM_COUNTS, SPANS_S, Rooms
from training.visits import LIVE_US, SILENCE_US, Kind

BUCKET_S = 10  # as the activity buckets of a RoomState
BUCKET_US = 1_000_000 * BUCKET_S
SPANS_B = tuple(span_s // BUCKET_S for span_s in SPANS_S)
NUM_BUCKETS = max(SPANS_B) + 1  # the one that is being filled, and those before it
CHATTER_BUCKETS = LIVE_US // BUCKET_US
NEVER_US = -(2**62)


class Crowd:
    """C channels. `apply` in time order; `rooms` says what was counted of some of them up to now."""

    def __init__(self, num_channels: int) -> None:
        C, S = num_channels, len(SPANS_S)
        self._bucket = 0
        self._counts_BKC = np.zeros((NUM_BUCKETS, NUM_COUNTS, C), np.float32)
        self._whole_SKC = np.zeros((S, NUM_COUNTS, C), np.float32)  # buckets that lie in the span as a whole
        self._oldest_SKC = np.zeros((S, NUM_COUNTS, C), np.float32)  # the one of which a part still does
        self._latest_BC = np.zeros((NUM_BUCKETS, C), np.float32)  # viewers by the bucket of their latest message
        self._chatters_C = np.zeros(C, np.float32)
        self._last_us_C = np.full(C, NEVER_US, np.int64)
        self._started_us_C = np.zeros(C, np.int64)
        self._totals_KC = np.zeros((NUM_COUNTS, C), np.float32)

    def live(self, at_us: int) -> NDArray[np.intp]:
        """[N] channels with a message in the five minutes before, in no order that means anything."""
        return np.flatnonzero(self._last_us_C >= at_us - LIVE_US)

    def visits(self, channel: int) -> int:
        """Visits to the channel so far."""
        return int(self._totals_KC[ENTRIES, channel])

    def rooms(self, at_us: int, live_N: NDArray[np.intp]) -> Rooms:
        """Columns of the channels `live_N` as of `at_us`."""
        self._advance(at_us)
        passed = (at_us - self._bucket * BUCKET_US) / BUCKET_US
        filling_KN = self._counts_BKC[self._bucket % NUM_BUCKETS][:, live_N]
        counts_SKN = filling_KN + self._whole_SKC[:, :, live_N]
        counts_SKN += np.float32(1.0 - passed) * self._oldest_SKC[:, :, live_N]
        return Rooms(
            counts_SKN=counts_SKN,
            totals_KN=self._totals_KC[:, live_N],
            chatters_N=self._chatters_C[live_N],
            age_s_N=(at_us - self._started_us_C[live_N]) / 1e6,
            silence_s_N=(at_us - self._last_us_C[live_N]) / 1e6,
        )

    def apply(self, at_us: int, channel: int, kind: int, previous_us: int) -> None:
        """One message. previous_us: of the same viewer in the same channel, NEVER_US for none."""
        self._advance(at_us)
        slot = self._bucket % NUM_BUCKETS
        filling_KC = self._counts_BKC[slot]
        filling_KC[MESSAGES, channel] += 1
        self._totals_KC[MESSAGES, channel] += 1
        if kind != Kind.NO_VISIT:
            self._count_entry(filling_KC, channel, kind)
        if at_us - self._last_us_C[channel] >= SILENCE_US:
            self._started_us_C[channel] = at_us
        self._last_us_C[channel] = at_us
        before = previous_us // BUCKET_US
        if before > self._bucket - CHATTER_BUCKETS:
            self._latest_BC[before % NUM_BUCKETS, channel] -= 1
        else:
            self._chatters_C[channel] += 1
        self._latest_BC[slot, channel] += 1

    def _count_entry(self, filling_KC: NDArray[np.float32], channel: int, kind: int) -> None:
        for counts_KC in (filling_KC, self._totals_KC):
            counts_KC[ENTRIES, channel] += 1
            if kind != Kind.REPEAT:
                counts_KC[FIRST_ENTRIES, channel] += 1
            if kind == Kind.COLD:
                counts_KC[NEWCOMERS, channel] += 1

    def _advance(self, at_us: int) -> None:
        bucket = at_us // BUCKET_US
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
