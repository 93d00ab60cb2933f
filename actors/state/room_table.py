"""A replica's data of rooms, by slot: columns to compute with, snapshots to show. Never scores, never locks.

One content space is in use: whatever depends on vectors is as one encoder has read the rooms. A room that this encoder
has not read has no content, whatever others have read of it. Another space comes in its place whole (`force`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.index.projection import Projection
from actors.settings import TablesConfig
from actors.spaces.content_space import ContentSpace, RoomSnapshot
from actors.spaces.ended_rooms import EndedRooms
from actors.state.circuit_breaker import CircuitBreaker
from actors.state.label_ids import LabelIds
from actors.state.room_embeddings import ContentEmbeddings, LiveEmbeddings, ModelEmbeddings
from actors.state.roster import Roster
from actors.state.ruled_rooms import RuledRooms
from streaming.events import MAX_TAGS, RoomId, RoomState
from streaming.room.content_slots import read_by
from training.content.content_vector import content_vectors
from training.content.spelling import category_key, language_key
from training.features.room_columns import LiveRooms
from training.inference.interface import ServedVersion


class RoomTable:
    """Slots, columns and snapshots of live rooms, and the memory of ended ones. The caller holds the lock."""

    def __init__(self, index: LiveIndex, config: TablesConfig, max_rooms: int) -> None:
        self._baseline = ContentEmbeddings(index, config.index_dimension)  # the baseline ranker's newest
        self.embeddings: LiveEmbeddings = self._baseline  # the version in force
        self.title_weight = config.title_weight
        self.space = ContentSpace("", max_rooms, config.title_weight)  # the one in use
        self._index_dimension = config.index_dimension
        self._slots = index.slots
        self._journals: list[set[int]] = []
        self._owed: set[int] = set()  # slots of rooms that the version in force has failed to embed
        self.on_gone: list[Callable[[RoomSnapshot], None]] = []  # called for each room that is live no longer
        self.failures: CircuitBreaker | None = None  # notes failures of the version in force; None: they are raised
        self.basis_version = 0  # a change makes older viewer vectors meaningless
        self.num_taken = 0  # number of slots that new rooms have taken
        self.taken_N = np.zeros(max_rooms, np.int64)  # by slot: its `num_taken` when its room took it
        self.taken: set[int] = set()  # the latest of them: columns kept elsewhere may still hold another room's values
        self.roster = Roster()
        self.ended = EndedRooms(self.space)
        self.categories, self.languages, self.streamers = LabelIds(category_key), LabelIds(language_key), LabelIds()
        self.tags = LabelIds(category_key, first=1)
        self.lately = LiveRooms(max_rooms)
        self.ruled = RuledRooms(max_rooms)
        # zero pages cost nothing until a room has the row, so the columns too grow without copying
        self.live_N = np.zeros(max_rooms, np.bool_)
        self.mature_N = np.zeros(max_rooms, np.bool_)
        self.listed_N = np.zeros(max_rooms, np.bool_)  # live, and hidden by no operator's rule
        self.general_N = np.zeros(max_rooms, np.bool_)  # listed and not mature
        self.num_listed = self.num_general = 0
        self.tie_N = np.zeros(max_rooms)  # 0..1, from the room's id: breaks ties, the same in every replica
        self.id_hash_N = np.zeros(max_rooms, np.uint64)  # of the room's id, the same in every replica
        self.category_N = np.zeros(max_rooms, np.int32)
        self.language_N = np.zeros(max_rooms, np.int32)
        self.streamer_N = np.zeros(max_rooms, np.int32)
        self.started_ms_N = np.zeros(max_rooms, np.int64)
        self.tags_TN = np.zeros((MAX_TAGS, max_rooms), np.int32)  # numbers of the rooms' tags, then 0
        self.most_tags = 0  # that a room has had: the rows of them that may hold any
        self.audience_N = np.zeros(max_rooms, np.float32)

    def __len__(self) -> int:
        """Number of live rooms."""
        return len(self.snapshots)

    def slots(self) -> NDArray[np.int64]:
        """Slots of all live rooms, int64 [N], ascending."""
        return np.flatnonzero(self.live_N)

    @property
    def encoder(self) -> str:
        """The version of the encoder whose vectors are in use; "" while no room has had a vector."""
        return self.space.encoder

    @property
    def dimension(self) -> int:
        """Dimension of the content vectors; 0 before the first."""
        return self.space.dimension

    @property
    def vectors_ND(self) -> NDArray[np.float16]:  # noqa: N802  a shape
        """Content vectors by slot, all dimensions; NaN rows where a live room has none."""
        return self.space.vectors_ND

    @property
    def saw_ms_N(self) -> NDArray[np.int64]:  # noqa: N802  a shape
        """By slot the time of the newest text that the room's vector saw."""
        return self.space.saw_ms_N

    @property
    def snapshots(self) -> dict[RoomId, RoomSnapshot]:
        """The live rooms."""
        return self.space.snapshots

    @property
    def by_slot(self) -> dict[int, RoomSnapshot]:
        """The live rooms by slot."""
        return self.space.by_slot

    def held(self, room: RoomId) -> RoomState | None:
        """The state of a room, live or remembered; None where it is unknown."""
        snapshot = self.snapshots.get(room)
        if snapshot is not None:
            return snapshot.state
        ended = self.ended.get(room)
        return ended.state if ended is not None else None

    def as_read(self, state: RoomState) -> RoomState:
        """A state as the encoder in use has read the room; itself before there is one."""
        return read_by(state, self.encoder) if self.encoder else state

    def show(self, states: Sequence[RoomState], now_ms: int) -> int:
        """Makes live states of different rooms servable. Returns how many found no free slot."""
        if not self.encoder:
            self._adopt(states)
        slots: list[int] = []
        embedded_anew: list[int] = []
        for state in states:
            held = self.snapshots.get(state.room)
            slot = self._enter(state, held, now_ms)
            if slot is None:
                continue
            slots.append(slot)
            if held is None or slot in self._owed or _embedded(held.state) != _embedded(self.by_slot[slot].state):
                embedded_anew.append(slot)
        for journal in self._journals:
            journal.update(slots)
        if embedded_anew:
            self._put(np.array(embedded_anew, np.int64), [self.by_slot[slot].state for slot in embedded_anew], now_ms)
        return len(states) - len(slots)

    @property
    def index(self) -> LiveIndex:
        """The index of the version in force."""
        return self.embeddings.index

    def follow(self, *, all_rooms: bool) -> set[int]:
        """A journal of slots whose room changes, until `unfollow`. all_rooms: it starts with every live room's slot."""
        journal = set(self.by_slot) if all_rooms else set()
        self._journals.append(journal)
        return journal

    def unfollow(self, journal: set[int]) -> None:
        """Stops noting changes in this journal."""
        self._journals = [other for other in self._journals if other is not journal]

    def embeddings_under(self, model: ServedVersion | None, encoder: str) -> LiveEmbeddings:
        """Embeddings of another version, without any room, not in force. model: None for the baseline ranker.

        encoder: whose vectors it reads.
        """
        config = self.index.config
        if model is not None:
            return ModelEmbeddings(model, LiveIndex(config, self._slots))
        projection = self._baseline.projection if self._baseline.encoder == encoder else None
        return ContentEmbeddings(LiveIndex(config, self._slots), self._index_dimension, projection, encoder=encoder)

    def space_of(self, encoder: str) -> ContentSpace:
        """Another encoder's space, without any room, not in use."""
        return ContentSpace(encoder, len(self.live_N), self.title_weight)

    def empty_index(self) -> LiveIndex:
        """An index of all slots in which no room has a vector yet."""
        return LiveIndex(self.index.config, self._slots, coarse=False)

    def content(self, states: Sequence[RoomState], dimension: int) -> NDArray[np.float32]:
        """The content vector of each state by its own vectors, float32 [N, D]; NaN rows where there is none."""
        if not dimension:
            return np.zeros((len(states), 0), np.float32)
        return content_vectors(states, dimension, self.title_weight)

    @property
    def projection(self) -> Projection | None:
        """The baseline ranker's projection of content while it is in force, else None."""
        return self.embeddings.projection if isinstance(self.embeddings, ContentEmbeddings) else None

    def force(self, embeddings: LiveEmbeddings, space: ContentSpace | None, now_ms: int) -> None:
        """Puts a version in force, and its encoder's space in use. Both must have every live room.

        space: None where the one in use is its encoder's. From now on rooms are servable with the vectors of that one.
        """
        if space is not None:
            for snapshot in space.by_slot.values():
                snapshot.servable_ms = now_ms
            self.space = self.ended.space = space
        if isinstance(embeddings, ContentEmbeddings):
            self._baseline = embeddings
        self.embeddings = embeddings
        self.basis_version += 1

    def _adopt(self, states: Sequence[RoomState]) -> None:
        self.space.adopt(states)
        if self.embeddings is self._baseline:
            self._baseline.encoder = self.encoder

    def _put(self, slots_N: NDArray[np.int64], states: Sequence[RoomState], now_ms: int) -> None:
        self._owed.difference_update(slots_N.tolist())
        now_ND, embeddings = self.space.put(slots_N, states), self.embeddings
        if not self.dimension and embeddings.model is None:
            return
        if isinstance(embeddings, ModelEmbeddings) and self.failures is not None:
            self._owed.update(_put_surely(embeddings, _Changes(slots_N, states, now_ND), self.failures, now_ms))
        else:
            embeddings.put(slots_N, states, now_ND)
        if embeddings.is_due(len(self.snapshots)) and embeddings.fit(self.slots(), self.vectors_ND):
            self.basis_version += 1

    def end(self, state: RoomState) -> None:
        """Ends a room: it is no longer servable, and remembered until its tombstone."""
        self.drop(state.room)
        self.ended.add(state)

    def drop(self, room: RoomId) -> None:
        """Forgets a room, live or ended."""
        self.ended.pop(room)
        snapshot = self.snapshots.get(room)
        if snapshot is None:
            return
        self.space.leave(snapshot.slot)
        self.roster.leave(snapshot.state.streamer, room)
        self._leave_columns(snapshot)
        self._tag(snapshot.slot, snapshot.state.tags, ())
        self.ruled.leave(snapshot.slot)
        self.live_N[snapshot.slot] = self.listed_N[snapshot.slot] = self.general_N[snapshot.slot] = False
        self.lately.clear(snapshot.slot)
        self.index.clear(np.array([snapshot.slot]))
        for journal in self._journals:
            journal.add(snapshot.slot)
        self._slots.release(snapshot.slot)
        for call in self.on_gone:
            call(snapshot)

    def _enter(self, state: RoomState, held: RoomSnapshot | None, now_ms: int) -> int | None:
        """Enters a live state. held: the room as it was, None for a new one. Returns its slot, None without any."""
        self.ended.pop(state.room)
        is_described = held is not None and _described(held.state) == _described(state)
        if held is not None:
            slot: int | None = held.slot
            if not is_described:
                self._leave_columns(held)
                self._tag(held.slot, held.state.tags, state.tags)
            if held.state.streamer != state.streamer:
                self.roster.leave(held.state.streamer, state.room)
        else:
            slot = self._slots.allocate()
        if slot is None:
            return None
        if held is None:
            self.num_taken += 1
            self.taken_N[slot] = self.num_taken
            self.taken.add(slot)
            name = state.room.encode("utf-8", "surrogatepass")
            self.id_hash_N[slot] = int.from_bytes(blake2b(name, digest_size=8).digest(), "little")
            self._tag(slot, (), state.tags)
        snapshot = self.space.show(slot, state, now_ms)
        if held is not None and _vectors(held.state) == _vectors(snapshot.state):
            snapshot.servable_ms = held.servable_ms
        if held is None or _labels(held.state) != _labels(state):
            self.ruled.place(slot, state)
        if not is_described:
            self._enter_columns(snapshot)
        self.started_ms_N[slot] = state.started_at_ms
        self.audience_N[slot] = snapshot.audience
        self.lately.set(slot, state)
        self.lately.hear(slot, state)
        self.live_N[slot] = True
        return slot

    def _enter_columns(self, snapshot: RoomSnapshot) -> None:
        """Enters what most states of a room have in common with the one before."""
        slot, state = snapshot.slot, snapshot.state
        self.roster.enter(state.streamer, state.room, slot)
        self.category_N[slot] = self.categories.take(state.category)
        self.language_N[slot] = self.languages.take(state.language)
        self.streamer_N[slot] = self.streamers.take(state.streamer)
        self.mature_N[slot] = state.mature
        self._list(snapshot)
        self.tie_N[slot] = zlib.crc32(state.room.encode("utf-8", "surrogatepass")) / 2**32

    def list_anew(self, slot: int) -> None:
        """Lists a live room, or does not, as the rules say now."""
        self._unlist(slot)
        self._list(self.by_slot[slot])

    def _list(self, snapshot: RoomSnapshot) -> None:
        slot = snapshot.slot
        is_listed = slot not in self.ruled.hidden
        is_general = is_listed and not snapshot.state.mature
        self.listed_N[slot], self.general_N[slot] = is_listed, is_general
        self.num_listed += is_listed
        self.num_general += is_general

    def _unlist(self, slot: int) -> None:
        self.num_listed -= bool(self.listed_N[slot])
        self.num_general -= bool(self.general_N[slot])

    def _leave_columns(self, snapshot: RoomSnapshot) -> None:
        state = snapshot.state
        self._unlist(snapshot.slot)
        self.categories.give(state.category)
        self.languages.give(state.language)
        self.streamers.give(state.streamer)

    def _tag(self, slot: int, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Replaces the tags of a slot. Most states of a room have those of the state before."""
        if before == after:
            return
        for tag in before[:MAX_TAGS]:
            self.tags.give(tag)
        numbers = [self.tags.take(tag) for tag in after[:MAX_TAGS]]
        self.tags_TN[: self.most_tags, slot] = 0
        self.tags_TN[: len(numbers), slot] = numbers
        self.most_tags = max(self.most_tags, len(numbers))


class _Changes(NamedTuple):
    """N changed rooms as they are now, with content vectors."""

    slots_N: NDArray[np.int64]
    states: Sequence[RoomState]
    now_ND: NDArray[np.float32]


def _put_surely(embeddings: ModelEmbeddings, changes: _Changes, failures: CircuitBreaker, now_ms: int) -> list[int]:
    """Puts rooms, one by one where the version fails. A room that fails alone stays as it was, or without a vector.

    The room is live all the same, and in an answer where the baseline ranker's terms bring it there. Returns the slots
    of those that failed.
    """
    try:
        embeddings.put(*changes)
    except Exception as err:  # whatever a version does, the tables go on
        if len(changes.states) > 1:
            failed: list[int] = []
            for place in range(len(changes.states)):
                one = slice(place, place + 1)
                change = _Changes(changes.slots_N[one], changes.states[one], changes.now_ND[one])
                failed += _put_surely(embeddings, change, failures, now_ms)
            return failed
        embeddings.leave(changes.slots_N)
        failures.note(embeddings.version, err, now_ms, "changes of rooms")
        return [int(changes.slots_N[0])]
    failures.clear(embeddings.version, "changes of rooms")
    return []


def _labels(state: RoomState) -> tuple[str, str, str, tuple[str, ...]]:
    return state.streamer, state.category, state.language, state.tags


def _described(state: RoomState) -> tuple[str, str, str, tuple[str, ...], bool]:
    return *_labels(state), state.mature


def _embedded(state: RoomState) -> tuple[object, ...]:
    """What a room's content vector and its embedding are made of."""
    return (
        state.title_vector,
        state.chat_vector,
        state.mean_vector,
        state.streamer,
        state.category,
        state.language,
        state.language_guessed,
    )


def _vectors(state: RoomState) -> tuple[bytes, bytes]:
    return state.title_vector, state.chat_vector
