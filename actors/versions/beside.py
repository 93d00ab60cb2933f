"""What is built beside the tables while they answer: a version's embeddings, another encoder's space. Never in force.

Rooms that change meanwhile are in a journal, and are taken in again. A step needs the tables' lock only to look up
rooms; it computes without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from actors.spaces.content_space import ContentSpace, RoomSnapshot, dimension_of
from actors.state.room_embeddings import LiveEmbeddings
from actors.state.table_reader import Tables
from streaming.events import ModelVersion
from streaming.room.content_slots import read_by


class Beside(Protocol):
    """Something built beside the tables. For one thread."""

    @property
    def left(self) -> int:
        """How much is left to take in."""

    def step(self, most: int) -> None:
        """Takes in at most so many rooms."""

    def drop(self) -> None:
        """Ends the journal. The caller holds the tables' lock."""


class EmbeddingsBeside:
    """A version's embeddings. record: None for the baseline ranker."""

    def __init__(
        self, tables: Tables, embeddings: LiveEmbeddings, record: ModelVersion | None, *, has_rooms: bool = False
    ) -> None:
        """has_rooms: whether it has every live room as of now. The caller holds the tables' lock."""
        self._tables = tables
        self.embeddings = embeddings
        self.record = record
        self._behind = tables.rooms.follow(all_rooms=not has_rooms)

    @property
    def left(self) -> int:
        return len(self._behind)

    def step(self, most: int) -> None:
        embeddings, rooms = self.embeddings, self._tables.rooms
        snapshots, gone = _taken(self._tables, self._behind, most)
        embeddings.index.clear(np.array(gone, np.int64))
        states = [read_by(snapshot.published, embeddings.encoder) for snapshot in snapshots]
        dimension = embeddings.dimension or next((d for state in states if (d := dimension_of(state))), 0)
        if states and dimension:
            slots_N = np.array([snapshot.slot for snapshot in snapshots], np.int64)
            embeddings.put(slots_N, states, rooms.content(states, dimension))

    def drop(self) -> None:
        self._tables.rooms.unfollow(self._behind)


class SpaceBeside:
    """Another encoder's space."""

    def __init__(self, tables: Tables, encoder: str) -> None:
        self._tables = tables
        with tables.lock:
            self.space: ContentSpace = tables.rooms.space_of(encoder)
            self._behind = tables.rooms.follow(all_rooms=True)
            self._ended = tables.rooms.ended.states()  # those that end later are looked at when somebody asks

    @property
    def left(self) -> int:
        return len(self._behind) + len(self._ended)

    def step(self, most: int) -> None:
        space = self.space
        snapshots, gone = _taken(self._tables, self._behind, most)
        for slot in gone:
            space.leave(slot)
        if snapshots:
            shown = [space.show(one.slot, one.published, one.servable_ms) for one in snapshots]
            space.put(np.array([one.slot for one in shown], np.int64), [one.state for one in shown])
        elif self._ended:
            space.end(self._ended[-most:])
            del self._ended[-most:]

    def drop(self) -> None:
        self._tables.rooms.unfollow(self._behind)


def _taken(tables: Tables, behind: set[int], most: int) -> tuple[Sequence[RoomSnapshot], Sequence[int]]:
    """The rooms of some slots of a journal as they are now, and slots without a room."""
    with tables.lock:
        slots = [behind.pop() for _ in range(min(most, len(behind)))]
        by_slot = tables.rooms.by_slot
        return [by_slot[slot] for slot in slots if slot in by_slot], [slot for slot in slots if slot not in by_slot]
