"""Owns what is the same for every viewer: who is trending, who is newest. Never looks at a viewer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actors.room_table import RoomTable


class Pools:
    """Columns and lists over all live rooms, renewed every few hundred milliseconds instead of in each request.

    Between renewals a room that ended stays in the lists; whoever uses them drops what is not live.
    """

    def __init__(self, max_rooms: int, size: int, fresh_half_life_ms: int) -> None:
        self._size = size
        self._fresh_half_life_ms = fresh_half_life_ms
        self.trend_N = np.zeros(max_rooms, np.float32)  # 0..1
        self.crowd_N = np.zeros(max_rooms, np.float32)  # 0..1
        self.fresh_N = np.zeros(max_rooms, np.float32)  # 0..1
        self.trending: NDArray[np.int64] = np.zeros(0, np.int64)
        self.newest: NDArray[np.int64] = np.zeros(0, np.int64)
        self.renewed_ms = -1

    def renew(self, rooms: RoomTable, now_ms: int) -> None:
        """Computes all of it anew; some 0.5 ms at 10,000 rooms."""
        self.renewed_ms = now_ms
        slots = rooms.slots()
        entries = rooms.trending.entries(slots, now_ms)
        # Newcomers of the last minute rank first visits best; the last ten minutes break the ties of quiet rooms.
        heat_N = (
            entries.newcomers_minute_N
            + 0.2 * entries.newcomers_ten_minutes_N
            + 0.2 * entries.minute_N
            + 0.04 * entries.ten_minutes_N
        )
        crowd_N = rooms.audience_N[slots] + 0.3 * rooms.chat_N[slots]
        age_N = np.maximum(rooms.trending.event_now_ms(now_ms) - rooms.started_ms_N[slots], 0)
        self.trend_N[slots] = _logarithmic(heat_N)
        self.crowd_N[slots] = _logarithmic(crowd_N)
        self.fresh_N[slots] = np.exp2(-age_N / self._fresh_half_life_ms)
        rank_N = self.trend_N[slots] + 0.2 * self.crowd_N[slots]
        self.trending = slots[largest(rank_N, self._size)]
        self.newest = slots[largest(-age_N.astype(np.float64), self._size)]

    def welcome(self, slot: int) -> None:
        """A room took this slot: it inherits nothing of the one before."""
        self.trend_N[slot] = self.crowd_N[slot] = 0
        self.fresh_N[slot] = 1


def largest(values_N: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Positions of the k largest, in descending order."""
    if len(values_N) > k:
        best = np.argpartition(values_N, -k)[-k:]
        return best[np.argsort(-values_N[best], kind="stable")]
    return np.argsort(-values_N, kind="stable")


def _logarithmic(values_N: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled_N: NDArray[np.float32] = np.log1p(values_N)
    top = scaled_N.max(initial=0)
    if top > 0:
        scaled_N /= top
    return scaled_N
