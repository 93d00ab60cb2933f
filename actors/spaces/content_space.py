"""The rooms as one encoder has read them: snapshots, content vectors, and ended rooms. Never mixes two encoders.

A room that the encoder has not read has no content here. Vectors of another encoder are in another space. Slots are
those of the room table, so one space may be built beside the one in use, and be put in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from streaming.events import RoomId, RoomState
from streaming.room.content_slots import encoders_of, read_by
from training.content.content_vector import content_vectors


class Pieces(msgspec.Struct, frozen=True):
    """The parts of a room's JSON in an answer that stay the same until its next state; cut by `as_json.py`."""

    saw_ms: int  # newest text that the room's vector saw: the age counts from it
    before_chat: str
    before_age: str  # from after the chat rate on
    encoder_version: str  # the text between age and score is the same for all rooms of an encoder and a model
    visited: str  # source and reason where the viewer visited the streamer before


@dataclass(slots=True, eq=False)
class RoomSnapshot:
    """A room snapshot: one state of a live room, as answers show it. Another state is another snapshot."""

    slot: int
    state: RoomState  # as the encoder of the space has read it
    published: RoomState  # as it came: for the view of another encoder
    servable_ms: int  # when this replica could first answer with the vector of this state
    pieces: Pieces | None = None  # once it was in a serialised answer

    @property
    def audience(self) -> int:
        """Viewers in the room now, according to the events."""
        return max(0, self.state.entered - self.state.left)

    @property
    def saw_ms(self) -> int:
        """The time of the newest text that the room's vector saw, chat or title, in ms."""
        return max(self.state.segment_end_ms, self.state.described_at_ms)


@dataclass(frozen=True, slots=True, eq=False)
class EndedRoom:
    """An ended room as it is remembered. vector_D: float16 [D], NaN without one, None before any live room had one."""

    state: RoomState  # as the encoder of the space has read it
    published: RoomState  # as it came
    vector_D: NDArray[np.float16] | None


class ContentSpace:
    """The rooms as one encoder has read them, by slot. Not thread-safe: the one in use is under the tables' lock."""

    def __init__(self, encoder: str, max_rooms: int, title_weight: float) -> None:
        """encoder: its version; "" while no room has had a vector."""
        self.encoder = encoder
        self.dimension = 0  # of the content vectors; 0 before the first
        self.vectors_ND: NDArray[np.float16] = np.zeros((0, 0), np.float16)  # content vectors, all dimensions
        self.saw_ms_N = np.zeros(max_rooms, np.int64)  # the newest text that the room's vector saw
        self.snapshots: dict[RoomId, RoomSnapshot] = {}
        self.by_slot: dict[int, RoomSnapshot] = {}
        self.ended: dict[RoomId, EndedRoom] = {}  # those looked at so far
        self.title_weight = title_weight

    def adopt(self, states: Iterable[RoomState]) -> None:
        """Becomes the space of the first encoder that has given one of these rooms a vector, if there is any."""
        for state in states:
            for encoder in encoders_of(state) or ("",):
                if not dimension_of(read_by(state, encoder)):
                    continue
                self.encoder = encoder
                for snapshot in [*self.by_slot.values()]:
                    self.show(snapshot.slot, snapshot.published, snapshot.servable_ms)
                self.ended.clear()
                return

    def show(self, slot: int, published: RoomState, servable_ms: int) -> RoomSnapshot:
        """Puts a live room at a slot, still without its content vector."""
        held = self.by_slot.get(slot)
        if held is not None and held.published.room != published.room:
            self._forget(held)
        snapshot = RoomSnapshot(slot, read_by(published, self.encoder), published, servable_ms)
        self.snapshots[published.room] = self.by_slot[slot] = snapshot
        self.saw_ms_N[slot] = snapshot.saw_ms
        return snapshot

    def put(self, slots_N: NDArray[np.int64], states: Sequence[RoomState]) -> NDArray[np.float32]:
        """Puts, and returns, content vectors of live rooms, float32 [N, D]. states: as the encoder read them."""
        if not self.dimension:
            self._reserve(next((dimension for state in states if (dimension := dimension_of(state))), 0))
        now_ND = content_vectors(states, self.dimension, self.title_weight) if self.dimension else _none(states)
        if self.dimension:
            self.vectors_ND[slots_N] = now_ND
        return now_ND

    def leave(self, slot: int) -> None:
        """Forgets the live room of a slot, if there is one."""
        held = self.by_slot.pop(slot, None)
        if held is not None:
            self._forget(held)

    def _forget(self, held: RoomSnapshot) -> None:
        """Forgets a snapshot by its room, unless the room has another slot by now."""
        if self.snapshots.get(held.published.room) is held:
            del self.snapshots[held.published.room]

    def end(self, states: Sequence[RoomState]) -> None:
        """Looks at ended rooms, as they came."""
        views = [read_by(state, self.encoder) for state in states]
        vectors_ND = content_vectors(views, self.dimension, self.title_weight) if self.dimension else None
        for place, (published, view) in enumerate(zip(states, views, strict=True)):
            vector_D = None if vectors_ND is None else vectors_ND[place].astype(np.float16)
            self.ended[published.room] = EndedRoom(view, published, vector_D)

    def _reserve(self, dimension: int) -> None:
        if dimension:
            self.dimension = dimension
            self.vectors_ND = np.zeros((len(self.saw_ms_N), dimension), np.float16)
            self.vectors_ND[[*self.by_slot]] = np.nan
            self.ended.clear()  # each is looked at again, with its vector


def dimension_of(state: RoomState) -> int:
    """The dimension of a state's own vectors, 0 where it has none."""
    return (len(state.title_vector) or len(state.chat_vector)) // 2


def _none(states: Sequence[RoomState]) -> NDArray[np.float32]:
    return np.zeros((len(states), 0), np.float32)
