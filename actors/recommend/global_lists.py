"""The global lists of rooms, the same for every viewer: trending and newest. Never looks at a viewer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actors.recommend.schema import MAX_LIMIT
from actors.state.room_table import RoomTable
from training.baseline import SMALL, TEN_SECONDS_IN_A_MINUTE, fresh, heat, rise
from training.settings import BaselineWeights

TIE = 2.0**-26  # less than the distance of two float32 near one


class GlobalLists:
    """Columns and lists over all live rooms, renewed every few hundred milliseconds instead of in each request.

    Between renewals a room that ended stays in the lists; users of the lists drop what is not live. Columns are float32
    over all slots, 0..1, as of the renewal and not of a room's last state.
    """

    def __init__(
        self, max_rooms: int, size: int, fresh_half_life_ms: int, weights: BaselineWeights, *, show_mature: bool = False
    ) -> None:
        """show_mature: whether the lists have mature rooms too. The columns have all."""
        self.size = size
        self._show_mature = show_mature
        self._fresh_half_life_ms = fresh_half_life_ms
        self._weights = weights
        self.trending_N = np.zeros(max_rooms, np.float32)
        self.crowd_N = np.zeros(max_rooms, np.float32)
        self.rising_N = np.zeros(max_rooms, np.float32)
        self.chat_per_minute_N = np.zeros(max_rooms, np.float32)  # messages, not 0..1
        self.fresh_N = np.zeros(max_rooms, np.float32)
        self.sum_N = np.zeros(max_rooms, np.float32)  # weighted sum of the four
        self.trending: NDArray[np.int64] = np.zeros(0, np.int64)
        self.newest: NDArray[np.int64] = np.zeros(0, np.int64)
        self.common: NDArray[np.int64] = np.zeros(0, np.int64)  # trending and newest, each room once
        self.renewed_ms = -1
        self.by_category: NDArray[np.int64] = np.zeros(0, np.int64)  # slots by category, each category's best first
        self.starts_L: NDArray[np.int64] = np.zeros(1, np.int64)  # where each category begins in them, by its number

    def renew(self, rooms: RoomTable, now_ms: int) -> None:
        """Computes all columns and lists anew; some 0.5 ms at 10,000 rooms."""
        self.renewed_ms = now_ms
        slots = rooms.slots()
        age_N = np.maximum(rooms.lately.event_now_ms(now_ms) - rooms.started_ms_N[slots], 0)
        came = rooms.lately.entries(slots, now_ms)
        hot_N = heat(came.newcomers_minute_N, came.newcomers_ten_minutes_N, came.minute_N, came.ten_minutes_N)
        trending_N = _logarithmic(hot_N)
        now_N, minute_N = (rooms.lately.messages(slots, span_s, now_ms) for span_s in (10, 60))
        self.chat_per_minute_N[slots] = minute_N
        crowd_N = _logarithmic(rooms.audience_N[slots] + TEN_SECONDS_IN_A_MINUTE * now_N)
        rising_N = rise(now_N, minute_N)
        fresh_N = fresh(age_N, self._fresh_half_life_ms).astype(np.float32)
        self.trending_N[slots], self.crowd_N[slots], self.fresh_N[slots] = trending_N, crowd_N, fresh_N
        self.rising_N[slots] = rising_N
        busy_N = self.busy(slots)
        self.sum_N[slots] = busy_N + self._weights.fresh * fresh_N
        shown_S = rooms.listed_N if self._show_mature else rooms.general_N
        if (rooms.num_listed if self._show_mature else rooms.num_general) < len(rooms):
            shown_N = shown_S[slots]
            slots, busy_N = slots[shown_N], busy_N[shown_N]
        self._list(rooms, slots, busy_N)

    def busy(self, slots_N: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weighted sum of trending, crowd and rising, float32 [N]: what the list of trending rooms goes by."""
        weights = self._weights
        busy_N: NDArray[np.float32] = (
            weights.trending * self.trending_N[slots_N]
            + weights.crowd * self.crowd_N[slots_N]
            + weights.rising * self.rising_N[slots_N]
        )
        return busy_N

    def forget(self, slots_N: NDArray[np.int64]) -> None:
        """Clears slots that other rooms have now; until the next renewal nothing is known of these rooms."""
        columns = (self.trending_N, self.crowd_N, self.rising_N, self.chat_per_minute_N, self.fresh_N, self.sum_N)
        for column_N in columns:
            column_N[slots_N] = 0

    def _list(self, rooms: RoomTable, slots: NDArray[np.int64], busy_N: NDArray[np.float32]) -> None:
        """Makes the lists from these rooms. Ties break the same way in every replica."""
        tie_N = rooms.tie_N[slots]
        hottest = slots[largest(busy_N + TIE * tie_N, self.size + MAX_LIMIT)]
        self.trending = hottest[: self.size]
        category_N = rooms.category_N[slots]
        order = _by_category(category_N, self.sum_N[slots] + TIE * tie_N)
        self.by_category = slots[order]
        self.starts_L = np.searchsorted(category_N[order], np.arange(rooms.categories.high + 1))
        self.newest = slots[largest(rooms.started_ms_N[slots] + tie_N, self.size)]
        self.common = np.union1d(self.trending, self.newest)
        if len(self.common) <= MAX_LIMIT:  # where they are the same rooms
            self.common = np.union1d(hottest, self.newest)


def largest(values_N: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Positions of the k largest, in descending order."""
    if len(values_N) > k:
        best = np.argpartition(values_N, -k)[-k:]
        return best[np.argsort(-values_N[best], kind="stable")]
    return np.argsort(-values_N, kind="stable")


def keyed(values_S: NDArray[np.floating], rooms: RoomTable, slots_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values of rooms, float64 [N], with ties broken the same way at every limit and in every replica."""
    return values_S[slots_N] + TIE * rooms.tie_N[slots_N]


def _by_category(category_N: NDArray[np.int32], value_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order by category, each category's largest value first. One sort by one key takes a tenth of a sort by two."""
    span = 1 + float(np.ptp(value_N)) if len(value_N) else 1.0
    return np.argsort(category_N - (value_N - value_N.min(initial=0)) / span)


def _logarithmic(values_N: NDArray[np.floating]) -> NDArray[np.float32]:
    scaled_N: NDArray[np.float32] = np.log1p(values_N, dtype=np.float32)
    scaled_N /= scaled_N.max(initial=SMALL)
    return scaled_N
