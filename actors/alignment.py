"""Owns what a version makes of the live rooms: their vectors, gates and codes, by slot. Never chooses the version.

Version 0 has no model: its vectors are the content's, in fewer directions (projection.py). A version with a model puts
rooms and viewers into a space of its own. Both stand behind `Alignment`, of which one is in force, and replaced whole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.index import LiveIndex
from actors.projection import Projection
from streaming.events import RoomState
from training.content.declared_labels import labels_of
from training.inference.interface import RoomEmbeddings, ServedVersion
from training.registry.manifest import V0

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]

MAX_SETTLED = 16_384  # rooms that no longer change, kept aligned; some 0.6 KB each


class Alignment(Protocol):
    """One version's rooms. One thread puts and clears; whoever reads holds the lock of the tables where it is in force.

    Several may share the slots: each has rows of its own for all of them.
    """

    index: LiveIndex

    @property
    def version(self) -> str: ...
    @property
    def model(self) -> ServedVersion | None: ...

    def put(self, slots_N: Slots, states: Sequence[RoomState], now_ND: NDArray[np.float32]) -> None:
        """Takes these rooms in as they are now. now: content of each, NaN rows where there is none."""

    def vectors(self, slots_N: Slots) -> Floats:
        """Copies of rooms' vectors, whole; NaN where a slot has none, [N, 0] before the first of all."""

    def content(self, slots_N: Slots) -> Floats:
        """Copies of what rooms are about, as whoever is likened to them has it (tastes.py); as `vectors`."""

    def is_due(self, rooms: int) -> bool:
        """Whether `fit` may have something to do at so many rooms; cheap."""

    def fit(self, slots_N: Slots, content_ND: NDArray[np.float16]) -> bool:
        """Turns it to these rooms, which are all, where that pays. True where what was read from it before is void.

        content: by slot, NaN rows where there is none.
        """


class ContentAlignment:
    """Version 0: the projection of the content, turned to the rooms as they become more."""

    model = None
    version = V0

    def __init__(self, index: LiveIndex, dimension: int, projection: Projection | None = None) -> None:
        """dimension: how many directions are kept, 0 for all. projection: to begin with, where there was one before."""
        self.index = index
        self._to = dimension
        self.projection = projection

    def put(self, slots_N: Slots, states: Sequence[RoomState], now_ND: NDArray[np.float32]) -> None:
        if self.projection is None:
            self.projection = Projection(now_ND.shape[1], self._to)
        self.index.put(slots_N, self.projection.project(now_ND))

    def vectors(self, slots_N: Slots) -> Floats:
        return self.index.vectors(slots_N)

    def content(self, slots_N: Slots) -> Floats:
        return self.index.vectors(slots_N)

    def is_due(self, rooms: int) -> bool:
        return self.projection is not None and self.projection.is_due(rooms)

    def fit(self, slots_N: Slots, content_ND: NDArray[np.float16]) -> bool:
        encoded_N = slots_N[~np.isnan(content_ND[slots_N, 0])]
        if self.projection is None or not self.projection.is_due(len(encoded_N)):
            return False
        self.projection.fit(content_ND[encoded_N].astype(np.float32))
        self.index.put(slots_N, self.projection.project(content_ND[slots_N].astype(np.float32)))
        return True


class _Settled:
    """Aligned rooms that no longer change, by key: those that most of a viewer's past is made of. Not thread-safe."""

    def __init__(self, like: RoomEmbeddings) -> None:
        self._rows = RoomEmbeddings.empty(MAX_SETTLED, like)
        self._place: dict[Hashable, int] = {}

    def of(self, keys: Sequence[Hashable], align: Callable[[Sequence[int]], RoomEmbeddings]) -> RoomEmbeddings:
        """A row a key. align: makes those of some of the keys, by their positions, where they are not kept."""
        missing = {key: position for position, key in enumerate(keys) if key not in self._place}
        if len(self._place) + len(missing) > MAX_SETTLED:  # all go: to know the oldest would cost more
            self._place.clear()
            missing = {key: position for position, key in enumerate(keys)}
        if missing:
            places = range(len(self._place), len(self._place) + len(missing))
            self._rows.put(np.array(places), align(list(missing.values())))
            self._place |= dict(zip(missing, places, strict=True))
        return self._rows.take(np.array([self._place[key] for key in keys], np.int64))


class ModelAlignment:
    """A version with a model. A room whose vectors another encoder made is aligned without content.

    Where a ranker looks at whole vectors, the index has their first dimensions alone, which are trained to find rooms
    by themselves (Matryoshka, training/model/losses.py): half of them are half of the memory that every request reads.
    """

    def __init__(self, model: ServedVersion, index: LiveIndex) -> None:
        self.model: ServedVersion = model
        self.index = index
        self._prefix = (index.config.prefix or None) if model.ranks else None
        self._rooms: RoomEmbeddings | None = None  # by slot, from the first on
        self._settled = _Settled(self._alone([]))

    @property
    def version(self) -> str:
        return self.model.name

    def put(self, slots_N: Slots, states: Sequence[RoomState], now_ND: NDArray[np.float32]) -> None:
        aligned = self.align(states, now_ND)
        self.rooms.put(slots_N, aligned)
        self.index.put(slots_N, self.short(aligned.vectors_NE))

    def leave(self, slots_N: Slots) -> None:
        """Of rooms that could not be put: as they were; zeros, and not what the slot had before, for new ones."""
        new_N = slots_N[np.isnan(self.index.vectors(slots_N)).all(axis=1)]
        self.rooms.put(new_N, RoomEmbeddings.empty(len(new_N), self.rooms))

    def short(self, vectors: Floats) -> Floats:
        """What of vectors, [E] or [N, E], the index has."""
        return vectors[..., : self._prefix]

    def vectors(self, slots_N: Slots) -> Floats:
        vectors_NE = self.rooms.vectors_NE[slots_N]
        vectors_NE[np.isnan(self.index.vectors(slots_N)[:, :1]).any(axis=1)] = np.nan
        return vectors_NE

    def content(self, slots_N: Slots) -> Floats:
        return self.rooms.content_NE[slots_N]

    @property
    def rooms(self) -> RoomEmbeddings:
        """Live rooms as they are now, by slot."""
        if self._rooms is None:
            self._rooms = RoomEmbeddings.empty(self.index.config.max_rooms, self._alone([]))
        return self._rooms

    def alone(self, streamers: Sequence[str]) -> RoomEmbeddings:
        """Rooms of which nothing is known but whose they are. The caller holds the lock of the tables."""
        return self._settled.of(streamers, lambda some: self._alone([streamers[place] for place in some]))

    def ended(self, rooms: Sequence[RoomState], content: Callable[[Sequence[RoomState]], Floats]) -> RoomEmbeddings:
        """Rooms that have ended, as they were. content: of some states. The caller holds the lock of the tables."""

        def align(some: Sequence[int]) -> RoomEmbeddings:
            states = [rooms[place] for place in some]
            return self.align(states, content(states))

        return self._settled.of([(state.room, state.rooms_offset, state.chat_offset) for state in rooms], align)

    def _alone(self, streamers: Sequence[str]) -> RoomEmbeddings:
        shape = (len(streamers), self.model.d_content)
        return self.model.embed_rooms(streamers, np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32))

    def align(self, states: Sequence[RoomState], now_ND: NDArray[np.float32]) -> RoomEmbeddings:
        """Rooms in the model's space, without taking them in."""
        model = self.model
        foreign = [place for place, state in enumerate(states) if state.encoder_version != model.encoder_version]
        if now_ND.shape[1] != model.d_content:
            now_ND = np.full((len(states), model.d_content), np.nan, np.float32)
        elif foreign:
            now_ND = now_ND.copy()
            now_ND[foreign] = np.nan
        mean_ND = means(states, model.d_content)
        mean_ND[foreign] = 0
        return model.embed_rooms([state.streamer for state in states], now_ND, mean_ND, labels_of(states))

    def is_due(self, rooms: int) -> bool:
        return False

    def fit(self, slots_N: Slots, content_ND: NDArray[np.float16]) -> bool:
        return False


def means(states: Sequence[RoomState], dimension: int) -> NDArray[np.float32]:
    """The slow mean of each state's segments, float32 [N, D]; zeros where there is none, or one that is no vector."""
    absent = bytes(2 * dimension)
    joined = b"".join(s.mean_vector if len(s.mean_vector) == len(absent) else absent for s in states)
    mean_ND = np.frombuffer(joined, "<f2").astype(np.float32).reshape(-1, dimension)
    mean_ND[~np.isfinite(mean_ND).all(axis=1)] = 0
    return mean_ND
