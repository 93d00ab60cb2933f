"""Tests of what a poll brings a replica: rooms of all partitions are taken in at once, the last state each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from streaming.events import RoomId
from streaming.log.codec import encode
from streaming.log.log import Batch, Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import ROOM_STATES
from tests.unit.actors.fake_version import FakeVersion, Floats
from tests.unit.actors.replica import axis
from tests.unit.actors.swap_world import World
from training.inference.interface import RoomEmbeddings


class Watched(FakeVersion):
    """Tells of each call how many rooms it was for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[int] = []

    def embed_rooms(
        self, streamers: Sequence[str], now_ND: Floats, mean_ND: Floats, labels_N2: NDArray[np.int32] | None = None
    ) -> RoomEmbeddings:
        self.calls.append(len(streamers))
        return super().embed_rooms(streamers, now_ND, mean_ND, labels_N2)


@pytest.fixture
def watched() -> tuple[World, Watched]:
    """A world in which a watched version is live."""
    world = World()
    version = world.versions["watched"] = Watched("watched")
    world.live("watched")
    version.calls.clear()
    return world, version


def send(world: World, *rooms: str, partitions: int = 4) -> None:
    """New states of rooms in one batch, over several partitions, with other vectors than they had."""
    batch: dict[Partition, list[MemoryRecord]] = {}
    for number, room in enumerate(rooms):
        state = world.replica.state(room, title_vector=axis((number + 3) % 8), mean_vector=axis((number + 1) % 8))
        partition = Partition(ROOM_STATES, number % partitions)
        record = MemoryRecord(ROOM_STATES, partition.index, number, 0, room.encode(), encode(state))
        batch.setdefault(partition, []).append(record)
    world.replica.tables.apply(Batch(batch))


def test_rooms_of_all_partitions_are_embedded_at_once(watched: tuple[World, Watched]) -> None:
    world, version = watched
    send(world, *(f"r{number}" for number in range(10)))
    assert version.calls == [10]
    world.check_rows()


@pytest.mark.parametrize("rooms", [("r1", "r1", "r2"), ("new", "r1", "new")])
def test_of_two_states_of_a_room_the_last_is_taken_in(watched: tuple[World, Watched], rooms: tuple[str, ...]) -> None:
    world, _ = watched
    send(world, *rooms, partitions=1)
    last = {room: axis((number + 3) % 8) for number, room in enumerate(rooms)}
    snapshots = world.replica.tables.rooms.snapshots
    assert {room: snapshots[RoomId(room)].state.title_vector for room in last} == last
    world.check_rows()


def test_a_state_with_other_counts_alone_embeds_nothing_and_its_counts_are_there(
    watched: tuple[World, Watched],
) -> None:
    world, version = watched
    replica, rooms = world.replica, world.replica.tables.rooms
    replica.room("r1", title_vector=axis(2), entered=5)
    version.calls.clear()
    before = rooms.snapshots[RoomId("r1")]
    replica.room("r1", title_vector=axis(2), entered=9, left=2, messages=30)
    after = rooms.snapshots[RoomId("r1")]
    assert version.calls == []
    assert after.audience == rooms.audience_N[after.slot] == 7
    assert (after.slot, after.servable_ms, after.state.messages) == (before.slot, before.servable_ms, 30)
    world.check_rows()


@pytest.mark.parametrize(
    "change",
    [
        {"title_vector": axis(3)},
        {"chat_vector": axis(3)},
        {"mean_vector": axis(3)},
        {"streamer": "another"},
        {"category": "another"},
        {"language": "pt"},
        {"language_guessed": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_state_of_which_an_embedding_is_made_is_embedded(
    watched: tuple[World, Watched], change: dict[str, object]
) -> None:
    world, version = watched
    same: dict[str, object] = {"title_vector": axis(2), "category": "chess", "language": "de"}
    world.replica.room("r1", **same)
    version.calls.clear()
    world.replica.room("r1", **(same | change))
    assert version.calls == [1]
    world.check_rows()
