"""Owns the tests of rooms that a version takes in: the arithmetic needs no lock, and the version in force counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.alignment import ModelAlignment
from streaming.codec import encode
from streaming.log import Batch, Partition
from streaming.memory_record import MemoryRecord
from streaming.topics import ROOM_STATES
from tests.unit.actors.fake_version import FakeVersion, Floats
from tests.unit.actors.replica import axis
from tests.unit.actors.swap_world import World
from training.serving import AlignedRooms


class Watched(FakeVersion):
    """Tells of each call how many rooms it was for, and what `meanwhile` does then is done."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.calls: list[int] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def align(
        self, streamers: Sequence[str], now_ND: Floats, mean_ND: Floats, labels_N2: NDArray[np.int32] | None = None
    ) -> AlignedRooms:
        self.calls.append(len(streamers))
        self.meanwhile()
        return super().align(streamers, now_ND, mean_ND, labels_N2)


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


def test_rooms_of_all_partitions_are_aligned_at_once_without_the_lock(watched: tuple[World, Watched]) -> None:
    world, version = watched
    held: list[bool] = []
    version.meanwhile = lambda: held.append(world.replica.tables.lock._is_owned())  # type: ignore[attr-defined]
    send(world, *(f"r{number}" for number in range(10)))
    assert version.calls == [10]
    assert held == [False]
    world.check_rows()


def test_rooms_aligned_by_a_version_that_is_no_longer_in_force_are_aligned_anew(watched: tuple[World, Watched]) -> None:
    world, version = watched

    def another_goes_live() -> None:
        version.meanwhile = lambda: None
        world.live("two")

    version.meanwhile = another_goes_live
    send(world, "r1", "r2", "new")
    assert isinstance(world.alignment, ModelAlignment)
    assert world.alignment.version == "two"
    world.check_rows()


@pytest.mark.parametrize("rooms", [("r1", "r1", "r2"), ("new", "r1", "new")])
def test_of_two_states_of_a_room_the_last_is_taken_in(watched: tuple[World, Watched], rooms: tuple[str, ...]) -> None:
    world, _ = watched
    send(world, *rooms, partitions=1)
    world.check_rows()


def test_content_of_the_first_rooms_of_all_is_known_once_a_state_has_some() -> None:
    world = World(rooms=0)
    world.live("two")
    send(world, "r1", "r2")
    assert world.replica.tables.rooms.dimension == world.versions["two"].d_content
    world.check_rows()
