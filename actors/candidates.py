"""Owns which rooms an answer is chosen from: the union of four lists, and the live filter. Never scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from actors.answer import Filters
from actors.pools import Pools, largest
from actors.room_table import RoomTable
from actors.taste import Taste
from streaming.events import RoomId, StreamerId

NO_FILTERS = Filters()
WIDE = 8  # times as many nearest are looked up where filters will drop some; short of that all allowed are scanned

Slots = NDArray[np.int64]


class Candidates:
    """Finds candidates. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, pools: Pools, nearest: int) -> None:
        self._rooms = rooms
        self._pools = pools
        self._num_nearest = nearest

    def visited(self, taste: Taste) -> dict[int, float]:
        """Live rooms of streamers visited before: slot → strength of the habit."""
        by_streamer = self._rooms.by_streamer
        return {
            slot: strength
            for streamer, strength in taste.habits.items()
            if streamer in by_streamer
            for slot in by_streamer[StreamerId(streamer)].values()
        }

    def nearest(self, tastes: Sequence[Taste]) -> list[Slots]:
        """The rooms nearest to each taste, int64 [K], -1 where there are fewer; one scan serves them all."""
        nearest = [np.zeros(0, np.int64)] * len(tastes)
        asking = [(row, taste.query_E) for row, taste in enumerate(tastes) if taste.query_E is not None]
        if asking:
            hits = self._rooms.index.search(np.stack([query_E for _, query_E in asking]), self._num_nearest)
            for (row, _), slots_K in zip(asking, hits.slots_QK, strict=True):
                nearest[row] = slots_K
        return nearest

    def union(self, visited: Iterable[int], taste: Taste, nearest_K: Slots, hidden: Iterable[str]) -> Slots:
        """Slots of visited ∪ nearest ∪ trending (anywhere and in the viewer's categories) ∪ newest that are live.

        int64 [N], ascending, without the hidden ones.
        """
        pools = self._pools
        of_category = [pools.of_category(self._rooms.categories.number(label)) for label in taste.top_categories]
        lists = [pools.trending, pools.newest, *of_category, nearest_K, np.fromiter(visited, np.int64)]
        return self._live(lists, hidden)

    def union_filtered(self, visited: Iterable[int], taste: Taste, filters: Filters, hidden: Iterable[str]) -> Slots:
        """The same of what the filters allow: drawn from that, so that a filter does not empty the answer."""
        rooms, pools = self._rooms, self._pools
        allowed = self.allowed(rooms.slots(), filters)
        trending = allowed[largest(pools.trending_N[allowed], pools.size)]
        newest = allowed[largest(rooms.started_ms_N[allowed].astype(np.float64), pools.size)]
        lists = [trending, newest, self._nearest_allowed(taste, allowed)]
        slots = self._live([*lists, np.fromiter(visited, np.int64)], hidden)
        return self.allowed(slots, filters)

    def allowed(self, slots: Slots, filters: Filters) -> Slots:
        """Those of the slots that the filters let through."""
        rooms = self._rooms
        if filters.mature is not None:
            slots = slots[rooms.mature_N[slots] == filters.mature]
        if filters.language is not None:
            wanted = filters.language.lower()
            numbers = [n for label, n in rooms.languages.items() if _speaks(label.lower(), wanted)]
            slots = slots[np.isin(rooms.language_N[slots], numbers)]
        if filters.category is not None:
            wanted = filters.category.casefold()
            numbers = [n for label, n in rooms.categories.items() if label.casefold() == wanted]
            slots = slots[np.isin(rooms.category_N[slots], numbers)]
        return slots

    def _live(self, lists: Sequence[Slots], hidden: Iterable[str]) -> Slots:
        rooms = self._rooms
        slots = np.concatenate(lists)
        slots.sort()
        keep = np.empty(len(slots), np.bool_)
        keep[:1] = True
        np.not_equal(slots[1:], slots[:-1], out=keep[1:])
        keep &= slots >= 0
        keep &= rooms.live_N[slots]  # -1 reads the last slot here; the line before has dropped it
        out = [card.slot for room in hidden if (card := rooms.cards.get(RoomId(room))) is not None]
        if out:
            keep &= ~np.isin(slots, out)
        return slots[keep]

    def _nearest_allowed(self, taste: Taste, allowed: Slots) -> Slots:
        """Exact: what a wide search finds of the allowed, or, where that is too little, a scan of all allowed."""
        if taste.query_E is None:
            return np.zeros(0, np.int64)
        hits = self._rooms.index.search(taste.query_E[None], WIDE * self._num_nearest)
        found: Slots = hits.slots_QK[0][np.isin(hits.slots_QK[0], allowed)]
        if len(found) >= min(self._num_nearest, len(allowed)):
            return found[: self._num_nearest]
        cosine_N = np.nan_to_num(self._rooms.index.vectors(allowed) @ taste.query_E, nan=-1.0)
        nearest: Slots = allowed[largest(cosine_N, self._num_nearest)]
        return nearest


def _speaks(language: str, wanted: str) -> bool:
    return language == wanted or language.startswith(wanted + "-")
