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
from actors.spaces.content_space import ContentSpace
from actors.state.room_table import RoomTable

Floats = NDArray[np.float32]


class ContentIndex:
    """Compares vectors with the content of all live rooms in the space in use. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable) -> None:
        self._rooms = rooms
        self._index: LiveIndex | None = None  # None: nobody has asked yet
        self._changed: set[int] = set()
        self._space: ContentSpace | None = None  # of which the index is

    def products(self, query_D: Floats, encoder_version: str) -> Floats:
        """Product of a query with each room's content vector, float32 by slot.

        NaN where a room has none, and everywhere for a query of another encoder than the one in use. A query of unit
        length gives cosines.
        """
        index = self._up_to_date() if encoder_version == self._rooms.encoder else None
        if index is None or index.dimension != len(query_D):
            return np.full(len(self._rooms.live_N), np.nan, np.float32)
        return index.products(query_D)

    def _up_to_date(self) -> LiveIndex | None:
        rooms = self._rooms
        if not rooms.dimension:
            return None
        if self._index is None or rooms.space is not self._space:
            rooms.unfollow(self._changed)
            self._changed = rooms.follow(all_rooms=True)
            self._index, self._space = rooms.empty_index(), rooms.space
        if self._changed:
            slots_N = np.fromiter(self._changed, np.int64, len(self._changed))
            self._changed.clear()
            is_live_N = rooms.live_N[slots_N]
            live_N = slots_N[is_live_N]
            self._index.put(live_N, rooms.vectors_ND[live_N].astype(np.float32))
            self._index.clear(slots_N[~is_live_N])
        return self._index
