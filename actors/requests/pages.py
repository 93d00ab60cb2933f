"""The pages of an answer: which live rooms earlier pages showed, and the cursor for the next. Keeps nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.requests import cursor as cursors
from actors.requests.filters import Filters
from actors.requests.room_filter import NONE, Slots
from actors.state.room_table import RoomTable

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A page that is asked for. question: a digest of who asks for what. slots_H: live rooms of earlier pages."""

    question: bytes
    shown_X: Hashes
    slots_H: Slots


class Pages:
    """Reads and writes cursors. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable) -> None:
        self._rooms = rooms

    def open(self, cursor: str, viewer: str, filters: Filters) -> Page:
        """The page after a cursor; "" for the first. Raises RequestError: it is damaged, or of another question."""
        question = cursors.question_of(viewer, filters)
        if not cursor:
            return Page(question, np.zeros(0, np.uint64), NONE)
        shown_X = np.frombuffer(cursors.read(cursor, question), "<u8").astype(np.uint64)
        live = self._rooms.slots()
        return Page(question, shown_X, live[np.isin(self._rooms.id_hash_N[live], shown_X)])

    def after(self, page: Page, slots_L: Slots, left: int) -> str | None:
        """The cursor for the next page. slots_L: the rooms of this one. left: allowed rooms that no page has shown.

        None where nothing is left, or MOST_SHOWN rooms were shown.
        """
        shown_X = np.concatenate([page.shown_X, self._rooms.id_hash_N[slots_L]])
        if left <= 0 or len(shown_X) >= cursors.MOST_SHOWN:
            return None
        return cursors.write(page.question, shown_X.astype("<u8").tobytes())
