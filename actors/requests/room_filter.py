"""Which live rooms a request's filters let through, over the columns of all slots. Never scores, never locks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from actors.requests.filters import NO_FILTERS, Filters
from actors.state.room_table import RoomTable
from streaming.events import RoomId, StreamerId
from training.content.spelling import language_key, speaks

Slots = NDArray[np.int64]
NONE = np.zeros(0, np.int64)


class RoomFilter:
    """Finds the rooms that may be shown. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, *, show_mature: bool = False) -> None:
        """show_mature: whether mature rooms may be shown to callers whose filters do not ask for them."""
        self._rooms = rooms
        self._show_mature = show_mature

    def allowed(self, filters: Filters, now_ms: int, hidden_H: Slots = NONE) -> Slots:
        """Slots of all live rooms that the filters let through, without the hidden ones; ascending."""
        open_S = self.open(filters)
        if len(hidden_H):
            open_S = open_S.copy()
            open_S[hidden_H] = False
        slots = np.flatnonzero(open_S)
        return slots[self.lets_through(slots, filters, now_ms)] if filters.narrows else slots

    def open(self, filters: Filters) -> NDArray[np.bool_]:
        """Which rooms may be shown if nothing else is asked of them, bool by slot. Mature ones only on request.

        None that an operator's rule hides.
        """
        rooms = self._rooms
        if filters.mature is True:
            return rooms.listed_N & rooms.mature_N
        if filters.mature == "any" or (filters.mature is None and self._show_mature):
            return rooms.listed_N
        return rooms.general_N

    def num_open(self, filters: Filters, hidden_H: Slots = NONE) -> int:
        """Number of live rooms that may be shown if nothing else is asked of them, without the hidden ones."""
        rooms, open_S = self._rooms, self.open(filters)
        num = rooms.num_general if open_S is rooms.general_N else rooms.num_listed
        if filters.mature is True:
            num -= rooms.num_general
        return num - int(np.count_nonzero(open_S[hidden_H])) if len(hidden_H) else num

    def hidden(self, rooms: Sequence[str], streamers: Sequence[str] = (), here: RoomId | None = None) -> Slots:
        """Slots of live rooms that must not be shown: these, those of these streamers, and where the viewer is now."""
        by_room = self._rooms.snapshots
        slots = {snapshot.slot for room in rooms if (snapshot := by_room.get(RoomId(room))) is not None}
        for streamer in streamers:
            slots.update((self._rooms.roster.of(StreamerId(streamer)) or {}).values())
        if here is not None and here in by_room:
            slots.add(by_room[here].slot)
        return np.array([*slots], np.int64) if slots else NONE

    def lets_through(self, slots_N: Slots, filters: Filters, now_ms: int) -> NDArray[np.bool_]:
        """Which of the slots are as the filters want them, mature or not, bool [N].

        Ages of broadcasts are in event time, as they are scored; receipts' are by the clock, as they are shown.
        """
        rooms = self._rooms
        through_N = np.ones(len(slots_N), np.bool_)
        if filters is NO_FILTERS:
            return through_N
        if filters.language is not None:
            wanted = language_key(filters.language)
            numbers = [n for language, n in rooms.languages.items() if speaks(language, wanted)]
            through_N &= np.isin(rooms.language_N[slots_N], numbers)
        if filters.category is not None:
            through_N &= rooms.category_N[slots_N] == rooms.categories.number(filters.category)
        if filters.min_audience is not None:
            through_N &= rooms.audience_N[slots_N] >= filters.min_audience
        if filters.max_audience is not None:
            through_N &= rooms.audience_N[slots_N] <= filters.max_audience
        if filters.min_age_s is not None or filters.max_age_s is not None:
            age_ms_N = np.maximum(rooms.lately.event_now_ms(now_ms) - rooms.started_ms_N[slots_N], 0)
            if filters.min_age_s is not None:
                through_N &= age_ms_N >= 1_000 * filters.min_age_s
            if filters.max_age_s is not None:
                through_N &= age_ms_N <= 1_000 * filters.max_age_s
        if filters.max_receipt_age_ms is not None:
            through_N &= now_ms - rooms.saw_ms_N[slots_N] <= filters.max_receipt_age_ms
        if filters.tags:  # at last, because it looks at several numbers of a room
            left = np.flatnonzero(through_N)
            through_N[left] = self._tagged(slots_N[left], filters)
        return through_N

    def _tagged(self, slots_N: Slots, filters: Filters) -> NDArray[np.bool_]:
        """Which of the slots have the wanted tags, bool [N]."""
        rooms = self._rooms
        rows = [rooms.tags_TN[row, slots_N] for row in range(rooms.most_tags)]
        wanted = {rooms.tags.number(tag) for tag in filters.tags}
        matched_N = np.full(len(slots_N), filters.tags_match == "all")
        for number in wanted:  # -1: no room has it, and no place holds it
            has_N = np.zeros(len(slots_N), np.bool_)
            for row_N in rows:  # a row at a time: numpy takes three times as long for all at once
                has_N |= row_N == number
            matched_N = matched_N & has_N if filters.tags_match == "all" else matched_N | has_N
        return matched_N
