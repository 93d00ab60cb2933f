"""Room embeddings of the live rooms under one version: vectors, gates and codes, by slot. Never chooses the version.

The baseline ranker has no model: its embeddings are content vectors in fewer directions (projection.py). A version with
a model puts rooms and viewers into a space of its own. Both are `LiveEmbeddings`. One is in force, and is replaced
whole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.index.projection import Projection
from streaming.events import RoomState
from streaming.room.content_slots import read_by
from training.content.declared_labels import labels_of
from training.inference.interface import RoomEmbeddings, ServedVersion
from training.registry.manifest import V0

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]

MAX_SETTLED = 16_384  # embeddings kept of rooms that no longer change; some 0.6 KB each


class LiveEmbeddings(Protocol):
    """One version's room embeddings. One thread puts and clears; readers of the one in force hold the tables' lock.

    Several versions may share the slots: each has rows of its own for all of them.
    """

    index: LiveIndex

    @property
    def version(self) -> str: ...
    @property
    def model(self) -> ServedVersion | None: ...
    @property
    def encoder(self) -> str:
        """The version of the encoder whose vectors it reads; "" while none has read a room."""

    @property
    def dimension(self) -> int:
        """The dimension of those vectors; 0 while it knows none."""

    def put(self, slots_N: Slots, states: Sequence[RoomState], now_ND: NDArray[np.float32]) -> None:
        """Embeds these rooms as they are now, as its encoder has read them.

        now_ND: content vector of each, NaN rows where there is none.
        """

    def vectors(self, slots_N: Slots) -> Floats:
        """Copies of the rooms' vectors at full length; NaN where a slot has none, [N, 0] before any room has one."""

    def content(self, slots_N: Slots) -> Floats:
        """Copies of the rooms' content vectors, in the space of a viewer's `likened`; else as `vectors`."""

    def is_due(self, rooms: int) -> bool:
        """Whether `fit` may have something to do at so many rooms; cheap."""

    def fit(self, slots_N: Slots, content_ND: NDArray[np.float16]) -> bool:
        """Adapts the embeddings to all live rooms, where that pays. True where what was read before is void.

        slots_N: of all live rooms. content_ND: by slot, NaN rows where there is none.
        """


class ContentEmbeddings:
    """The baseline ranker's room embeddings: projected content vectors. More rooms have the projection fitted again."""

    model = None
    version = V0

    def __init__(
        self, index: LiveIndex, dimension: int, projection: Projection | None = None, *, encoder: str = ""
    ) -> None:
        """dimension: how many directions are kept, 0 for all. projection: the one to start with, if there is any."""
        self.index = index
        self.encoder = encoder
        self._to = dimension
        self.projection = projection

    @property
    def dimension(self) -> int:
        return 0 if self.projection is None else self.projection.dimension

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
    """Embeddings of rooms that no longer change, by key. Most of a viewer's past is such rooms. Not thread-safe."""

    def __init__(self, like: RoomEmbeddings) -> None:
        self._rows = RoomEmbeddings.empty(MAX_SETTLED, like)
        self._place: dict[Hashable, int] = {}

    def of(self, keys: Sequence[Hashable], embed: Callable[[Sequence[int]], RoomEmbeddings]) -> RoomEmbeddings:
        """One row per key. embed: computes the rows that are not kept, from their positions in `keys`."""
        missing = {key: position for position, key in enumerate(keys) if key not in self._place}
        if len(self._place) + len(missing) > MAX_SETTLED:  # all go: to track which is oldest would cost more
            self._place.clear()
            missing = {key: position for position, key in enumerate(keys)}
        if missing:
            places = range(len(self._place), len(self._place) + len(missing))
            self._rows.put(np.array(places), embed(list(missing.values())))
            self._place |= dict(zip(missing, places, strict=True))
        return self._rows.take(np.array([self._place[key] for key in keys], np.int64))


class ModelEmbeddings:
    """Room embeddings by a version's model. A room that its encoder has not read is embedded without content.

    Where a ranker looks at whole vectors, the index holds only their first dimensions. These are trained to find rooms
    by themselves (Matryoshka, training/model/losses.py). Half the dimensions are half the memory that a request reads.
    """

    def __init__(self, model: ServedVersion, index: LiveIndex) -> None:
        self.model: ServedVersion = model
        self.index = index
        self._prefix = (index.config.prefix or None) if model.ranks else None
        self._rooms: RoomEmbeddings | None = None  # by slot; None before the first use
        self._settled = _Settled(self._alone([]))

    @property
    def version(self) -> str:
        return self.model.name

    @property
    def encoder(self) -> str:
        return self.model.encoder_version

    @property
    def dimension(self) -> int:
        return self.model.d_content

    def put(self, slots_N: Slots, states: Sequence[RoomState], now_ND: NDArray[np.float32]) -> None:
        embedded = self.embed(states, now_ND)
        self.rooms.put(slots_N, embedded)
        self.index.put(slots_N, self.short(embedded.vectors_NE))

    def leave(self, slots_N: Slots) -> None:
        """Leaves rooms that could not be put as they were. New ones get zeros, not what their slot had before."""
        new_N = slots_N[np.isnan(self.index.vectors(slots_N)).all(axis=1)]
        self.rooms.put(new_N, RoomEmbeddings.empty(len(new_N), self.rooms))

    def short(self, vectors: Floats) -> Floats:
        """The leading dimensions of vectors, [E] or [N, E], that the index holds."""
        return vectors[..., : self._prefix]

    def vectors(self, slots_N: Slots) -> Floats:
        vectors_NE = self.rooms.vectors_NE[slots_N]
        vectors_NE[np.isnan(self.index.vectors(slots_N)[:, :1]).any(axis=1)] = np.nan
        return vectors_NE

    def content(self, slots_N: Slots) -> Floats:
        return self.rooms.content_NE[slots_N]

    @property
    def rooms(self) -> RoomEmbeddings:
        """Embeddings of the live rooms as they are now, by slot."""
        if self._rooms is None:
            self._rooms = RoomEmbeddings.empty(self.index.config.max_rooms, self._alone([]))
        return self._rooms

    def alone(self, streamers: Sequence[str]) -> RoomEmbeddings:
        """Embeddings of rooms of which only the streamer is known. The caller holds the lock of the tables."""
        return self._settled.of(streamers, lambda some: self._alone([streamers[place] for place in some]))

    def ended(self, rooms: Sequence[RoomState], content: Callable[[Sequence[RoomState]], Floats]) -> RoomEmbeddings:
        """Embeddings of ended rooms. The caller holds the tables' lock.

        rooms: as they came. content: computes content vectors of states that this encoder has read.
        """
        views = [read_by(state, self.encoder) for state in rooms]

        def embed(some: Sequence[int]) -> RoomEmbeddings:
            states = [views[place] for place in some]
            return self.embed(states, content(states))

        return self._settled.of([_key(view) for view in views], embed)

    def _alone(self, streamers: Sequence[str]) -> RoomEmbeddings:
        shape = (len(streamers), self.model.d_content)
        return self.model.embed_rooms(streamers, np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32))

    def embed(self, states: Sequence[RoomState], now_ND: NDArray[np.float32]) -> RoomEmbeddings:
        """Embeddings of rooms in the model's space. Stores nothing."""
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


def _key(state: RoomState) -> Hashable:
    """What differs where an ended room's embedding does."""
    return state.room, state.rooms_offset, state.chat_offset, state.vector_offset, state.title_hash, state.chat_hash


def means(states: Sequence[RoomState], dimension: int) -> NDArray[np.float32]:
    """The slow mean of each state's segments, float32 [N, D]; zeros where there is none, or one that is no vector."""
    absent = bytes(2 * dimension)
    joined = b"".join(s.mean_vector if len(s.mean_vector) == len(absent) else absent for s in states)
    mean_ND = np.frombuffer(joined, "<f2").astype(np.float32).reshape(-1, dimension)
    mean_ND[~np.isfinite(mean_ND).all(axis=1)] = 0
    return mean_ND
