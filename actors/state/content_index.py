"""The content vectors of the live rooms at full length, for what is asked in words. Never encodes, never scores.

The index of the version in force has no place for a text: the baseline ranker's has 64 directions of the content, a
learned version's has rooms in a space of its own, in which the streamer counts as well. So texts and rooms that callers
name are compared with the content vectors that both are made of. They come with the same state, in the same moment.

Kept as float32 from the first question on, and brought up to date by each: an installation that is never asked pays
nothing, and a question pays for the rooms that changed since the last one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.state.room_table import RoomTable

Floats = NDArray[np.float32]


class ContentIndex:
    """Compares vectors with the content of all live rooms. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable) -> None:
        self._rooms = rooms
        self._index: LiveIndex | None = None  # None: nobody has asked yet
        self._changed: set[int] = set()
        self._version = ""

    def products(self, query_D: Floats, encoder_version: str) -> Floats:
        """Product of a query with each room's content vector, float32 by slot.

        NaN where a room has none of this version of the encoder. A query of unit length gives cosines.
        """
        index = self._up_to_date(encoder_version)
        if index is None or index.dimension != len(query_D):
            return np.full(len(self._rooms.live_N), np.nan, np.float32)
        return index.products(query_D)

    def _up_to_date(self, encoder_version: str) -> LiveIndex | None:
        rooms = self._rooms
        if not rooms.dimension:
            return None
        if self._index is None or encoder_version != self._version:
            rooms.unfollow(self._changed)
            self._changed = rooms.follow(all_rooms=True)
            self._index, self._version = rooms.empty_index(), encoder_version
        if self._changed:
            compared = [slot for slot in self._changed if self._is_compared(slot)]
            others = self._changed.difference(compared)
            self._changed.clear()
            if compared:
                slots_N = np.array(compared, np.int64)
                self._index.put(slots_N, rooms.vectors_ND[slots_N].astype(np.float32))
            if others:
                self._index.clear(np.array([*others], np.int64))
        return self._index

    def _is_compared(self, slot: int) -> bool:
        snapshot = self._rooms.by_slot.get(slot)
        return snapshot is not None and snapshot.state.encoder_version == self._version
