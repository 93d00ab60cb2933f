"""Tests of a version that went live and then fails: every viewer has an answer, and it gives way."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.state.circuit_breaker import LOGGED_MS
from actors.state.room_embeddings import ModelEmbeddings
from actors.versions.swap import RETRY_MS
from streaming.events import RoomId
from streaming.log.codec import encode
from streaming.log.log import Batch, Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import ROOM_STATES
from tests.unit.actors.fake_version import Broken, FakeVersion, FakeViewer, Floats
from tests.unit.actors.replica import axis
from tests.unit.actors.swap_world import World, versions_of
from training.inference.interface import RankedRooms, RequestCandidates, RoomEmbeddings, ServedViewer, ViewerPast

MOST = 20  # RecommendConfig.failures


class Failing(FakeVersion):
    """Well until told otherwise. fails: where."""

    fails = ""
    cannot_take = ""  # a streamer

    def embed_rooms(
        self, streamers: Sequence[str], now_ND: Floats, mean_ND: Floats, labels_N2: NDArray[np.int32] | None = None
    ) -> RoomEmbeddings:
        if self.fails == "embed" or self.cannot_take in streamers:
            raise ValueError("shapes (3,) and (4,) not aligned")
        return super().embed_rooms(streamers, now_ND, mean_ND, labels_N2)

    def rank(self, viewer: ServedViewer, offered: RequestCandidates) -> RankedRooms:
        ranked = super().rank(viewer, offered)
        if self.fails == "rank":
            raise IndexError("feature 99 is out of bounds")
        if self.fails == "numbers":
            ranked.enter_N[0] = np.nan
        return ranked

    def viewer(self, past: ViewerPast | None) -> FakeViewer:
        if self.fails == "viewer" and past is not None:
            raise ValueError("a visit from before the epoch")
        return super().viewer(past)


def failing(before: str = "one", rooms: int = 40) -> tuple[World, Failing]:
    """A world in which `two` is live after another version."""
    world = World(rooms=rooms)
    two = world.versions["two"] = Failing("two")
    world.live(before)
    world.replica.clock.advance(1)
    world.live("two")
    world.answer()
    return world, two


def ask(world: World, times: int) -> None:
    for _ in range(times):
        world.replica.clock.advance(30_001)  # tastes are read anew
        assert len(world.answer().rooms) == 20


@pytest.mark.parametrize("at", ["rank", "numbers"])
def test_a_request_that_the_ranker_fails_is_answered_by_version_0s_terms_and_counted(at: str) -> None:
    world, two = failing()
    two.fails = at
    answer = world.answer(explain=True)
    assert len(answer.rooms) == 20
    assert {item.room for item in answer.rooms[:2]} == {"r1", "r2"}  # visited before
    for item in answer.rooms:
        assert "enter" not in item.terms  # type: ignore[operator]
        assert sum(item.terms.values()) == pytest.approx(item.score, abs=1e-4)  # type: ignore[union-attr]
    assert world.replica.metrics.value("model_failures_total", version="two", task="requests") == 1


def test_a_viewer_whom_the_tower_fails_is_answered_as_a_stranger() -> None:
    world, two = failing()
    two.fails = "viewer"
    world.replica.viewer("v", "r3")
    answer = world.answer()
    assert len(answer.rooms) == 20
    assert not answer.known
    assert world.replica.metrics.value("model_failures_total", version="two", task="requests") == 1


@pytest.mark.parametrize("at", ["rank", "numbers", "viewer"])
def test_a_version_that_fails_on_gives_way_to_the_one_before_and_says_why(at: str) -> None:
    world, two = failing()
    two.fails = at
    ask(world, MOST - 1)
    world.turn()
    assert world.swapper.status().version == "two"
    ask(world, 1)
    world.turn()
    assert versions_of(world.answer()) == {"one"}
    world.check_rows()
    status, metrics = world.swapper.status(), world.replica.metrics
    assert (status.version, status.wanted) == ("one", "two")
    assert f"failed {MOST}" in status.refused
    assert metrics.value("swaps_total", outcome="back") == 1
    assert metrics.value("model_version") == (world.replica.tables.wanted.at_ms - 1) / 1000  # type: ignore[union-attr]
    assert world.loaded == ["one", "two"]  # nothing is read to go back


def test_what_gave_way_is_not_tried_again_until_it_is_announced_again() -> None:
    world, two = failing()
    two.fails = "rank"
    ask(world, MOST)
    world.turn()
    world.replica.clock.advance(10 * RETRY_MS)
    world.turn()
    assert versions_of(world.answer()) == {"one"}
    two.fails = ""
    world.live("two")
    ask(world, 3)
    world.turn()
    assert versions_of(world.answer()) == {"two"}
    assert world.swapper.status().refused == ""
    world.check_rows()


def test_an_answer_between_failures_begins_the_count_anew() -> None:
    world, two = failing()
    for _ in range(3):
        two.fails = "rank"
        ask(world, MOST - 1)
        two.fails = ""
        ask(world, 1)
    world.turn()
    assert versions_of(world.answer()) == {"two"}


def test_where_the_version_before_fails_too_version_0_answers() -> None:
    world, two = failing()
    one = world.versions["one"] = Failing("one")
    world.live("v0")
    world.live("three")
    world.live("one")
    world.live("two")
    two.fails = "rank"
    ask(world, MOST)
    world.turn()
    assert versions_of(world.answer()) == {"one"}
    one.fails = "rank"
    ask(world, MOST)
    world.turn()
    assert versions_of(world.answer()) == {"v0"}
    world.check_rows()


def test_where_the_version_before_cannot_answer_either_version_0_does() -> None:
    world, two = failing()
    two.fails = "rank"
    before = world.swapper._before
    assert before is not None
    before.embeddings = ModelEmbeddings(Broken("one", "rank"), before.embeddings.index)
    ask(world, MOST)
    world.turn()
    world.turn()
    assert versions_of(world.answer()) == {"v0"}
    world.check_rows()


def test_the_log_hears_of_a_failing_version_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    world, two = failing()
    two.fails = "rank"
    with caplog.at_level(logging.ERROR):
        for _ in range(10):
            world.answer()
        assert len(caplog.records) == 1
        world.replica.clock.advance(LOGGED_MS)
        world.answer()
    assert len(caplog.records) == 2


def test_a_room_that_the_version_cannot_take_in_is_live_all_the_same_and_costs_the_others_nothing() -> None:
    world, two = failing()
    replica, table = world.replica, world.replica.tables.rooms
    slot = table.snapshots[RoomId("r7")].slot
    replica.send(ROOM_STATES, "r7", None)  # whose slot the next new room has
    two.cannot_take = "streamer of odd"
    states = [replica.state(room, title_vector=axis(2), entered=9_999) for room in ("odd", "before", "after")]
    records = [MemoryRecord(ROOM_STATES, 0, 9_000 + at, 0, s.room.encode(), encode(s)) for at, s in enumerate(states)]
    replica.tables.apply(Batch(records={Partition(ROOM_STATES, 0): records}))
    assert table.snapshots[RoomId("odd")].slot == slot
    embeddings = table.embeddings
    assert isinstance(embeddings, ModelEmbeddings)
    slots_N = np.array([table.snapshots[RoomId(room)].slot for room in ("odd", "before", "after")])
    assert np.isnan(embeddings.vectors(slots_N)).any(axis=1).tolist() == [True, False, False]
    assert not embeddings.rooms.vectors_NE[slot].any()
    assert "odd" in {item.room for item in world.answer(limit=42).rooms}
    assert replica.metrics.value("model_failures_total", version="two", task="changes of rooms") == 1
    world.turn()
    assert world.swapper.status().version == "two"


def test_a_room_that_the_version_could_not_take_in_is_taken_in_with_its_next_state() -> None:
    world, two = failing()
    two.fails = "embed"
    world.replica.room("new", title_vector=axis(3))
    two.fails = ""
    world.replica.room("new", title_vector=axis(3))  # nothing else is new
    embeddings = world.replica.tables.rooms.embeddings
    slots_N = np.array([world.replica.tables.rooms.snapshots[RoomId("new")].slot])
    assert np.isfinite(embeddings.vectors(slots_N)).all()
    world.check_rows()
    two.fails = "embed"
    world.replica.room("new", title_vector=axis(3))
    assert world.replica.metrics.value("model_failures_total", version="two") == 1, "once is enough"


def test_a_version_that_takes_no_room_in_gives_way() -> None:
    world, two = failing()
    two.fails = "embed"
    for number in range(MOST):
        world.replica.room(f"r{number}", title_vector=axis(3), entered=1)
        assert len(world.answer().rooms) == 20  # requests go well, and do not hide it
    world.turn()
    assert versions_of(world.answer()) == {"one"}
    assert f"failed {MOST} changes of rooms" in world.swapper.status().refused
    world.check_rows()
