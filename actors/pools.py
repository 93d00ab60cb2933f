"""Owns what is the same for every viewer: who is trending, who is newest. Never looks at a viewer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actors.answer import Source
from actors.room_table import RoomTable
from actors.weights import Weights
from training.live_rooms import Entries

BLOCK = 32  # values of which the maximum is looked at first
FEW_BLOCKS = 16  # times the number wanted: of fewer it does not pay
SMALL = np.float32(np.log1p(10))  # where the largest number is below ten, nothing is large


class Pools:
    """Columns and lists over all live rooms, renewed every few hundred milliseconds instead of in each request.

    Between renewals a room that ended stays in the lists; whoever uses them drops what is not live. Columns are float32
    over all slots, 0..1.
    """

    def __init__(self, max_rooms: int, size: int, fresh_half_life_ms: int, weights: Weights) -> None:
        self.size = size
        self._fresh_half_life_ms = fresh_half_life_ms
        self._weights = weights
        self.trending_N = np.zeros(max_rooms, np.float32)
        self.crowd_N = np.zeros(max_rooms, np.float32)
        self.fresh_N = np.zeros(max_rooms, np.float32)
        self.sum_N = np.zeros(max_rooms, np.float32)  # the three, weighted
        self.trending: NDArray[np.int64] = np.zeros(0, np.int64)
        self.newest: NDArray[np.int64] = np.zeros(0, np.int64)
        self.common: NDArray[np.int64] = np.zeros(0, np.int64)  # trending and newest, each room once
        self.renewed_ms = -1
        self._by_category: NDArray[np.int64] = np.zeros(0, np.int64)  # slots by category, the best of each first
        self._starts = [0]  # where each category begins in them

    def renew(self, rooms: RoomTable, now_ms: int) -> None:
        """Computes all of it anew; some 0.5 ms at 10,000 rooms."""
        self.renewed_ms = now_ms
        slots = rooms.slots()
        age_N = np.maximum(rooms.lately.event_now_ms(now_ms) - rooms.started_ms_N[slots], 0)
        trending_N = _logarithmic(heat(rooms.lately.entries(slots, now_ms)))
        crowd_N = _logarithmic(rooms.audience_N[slots] + 0.3 * rooms.chat_N[slots])
        fresh_N = np.exp2(-age_N / self._fresh_half_life_ms).astype(np.float32)
        weights = self._weights
        self.trending_N[slots], self.crowd_N[slots], self.fresh_N[slots] = trending_N, crowd_N, fresh_N
        self.sum_N[slots] = weights.trending * trending_N + weights.crowd * crowd_N + weights.fresh * fresh_N
        self.trending = slots[largest(trending_N + 0.2 * crowd_N, self.size)]
        category_N = rooms.category_N[slots]
        order = _by_category(category_N, self.sum_N[slots])
        self._by_category = slots[order]
        self._starts = np.searchsorted(category_N[order], np.arange(rooms.categories.high + 1)).tolist()
        self.newest = slots[largest(-age_N.astype(np.float64), self.size)]
        self.common = np.union1d(self.trending, self.newest)

    def of_category(self, number: int) -> NDArray[np.int64]:
        """The best rooms of a category, by the viewer-independent part of the score."""
        if not 0 <= number < len(self._starts) - 1:
            return self._by_category[:0]
        start, end = self._starts[number], self._starts[number + 1]
        return self._by_category[start : min(end, start + self.size)]

    def source(self, slot: int) -> Source:
        """Why a room is among the common ones: entries, or for having just started."""
        return "trending" if self.trending_N[slot] * 2 > self.fresh_N[slot] else "new"


def heat(entries: Entries) -> NDArray[np.float32]:
    """How hot rooms are, float32 [N]: entries of the last minute and, to tell quiet rooms apart, of the last ten.

    Those of newcomers count more: a viewer without habits goes where the crowd goes now.
    """
    newcomers_N = entries.newcomers_minute_N + np.float32(0.2) * entries.newcomers_ten_minutes_N
    everybody_N = entries.minute_N + np.float32(0.2) * entries.ten_minutes_N
    hot_N: NDArray[np.float32] = newcomers_N + np.float32(0.2) * everybody_N
    return hot_N


def most(values_N: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Positions of the k largest, in no order; no value may be NaN. Looks closely only at what can be among them.

    A value below the k-th largest of the blocks' maxima is below k others.
    """
    whole = len(values_N) // BLOCK * BLOCK
    if whole < FEW_BLOCKS * k * BLOCK:
        return np.argpartition(values_N, -k)[-k:] if len(values_N) > k else np.arange(len(values_N))
    most_B = values_N[:whole].reshape(BLOCK, -1).max(axis=0)
    near = np.flatnonzero(values_N >= np.partition(most_B, -k)[-k])
    return near[np.argpartition(values_N[near], -k)[-k:]]


def largest(values_N: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Positions of the k largest, in descending order."""
    if len(values_N) > k:
        best = np.argpartition(values_N, -k)[-k:]
        return best[np.argsort(-values_N[best], kind="stable")]
    return np.argsort(-values_N, kind="stable")


def _by_category(category_N: NDArray[np.int32], value_N: NDArray[np.float32]) -> NDArray[np.int64]:
    """Order by category, the largest value of each first: one sort of one key, a tenth of a sort by two keys."""
    span = 1 + float(np.ptp(value_N)) if len(value_N) else 1.0
    return np.argsort(category_N - (value_N - value_N.min(initial=0)) / span)


def _logarithmic(values_N: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled_N: NDArray[np.float32] = np.log1p(values_N)
    scaled_N /= scaled_N.max(initial=SMALL)
    return scaled_N
