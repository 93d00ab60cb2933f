"""The change of the version that answers: before, after and in between. Never a broker."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from actors.recommend.recommender import Query
from actors.recommend.schema import Answer
from actors.state.room_embeddings import ModelEmbeddings
from actors.versions.swap import LAST
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.replica import axis
from tests.unit.actors.swap_world import World, versions_of


def test_a_version_that_goes_live_answers_and_every_receipt_says_so() -> None:
    world = World()
    assert versions_of(world.answer()) == {"v0"}
    world.live("one")
    answer = world.answer()
    assert versions_of(answer) == {"one"}
    assert len(answer.rooms) == 20
    world.check_rows()
    written = msgspec.json.decode(world.replica.recommender.recommend_json(Query(viewer="v")), type=Answer)
    assert versions_of(written) == {"one"}
    assert versions_of(world.answer("stranger")) == {"one"}
    assert world.replica.recommender.room("r1").receipt.model_version == "one"
    assert {item.receipt.model_version for item in world.replica.recommender.similar("r1", 5)} == {"one"}


def test_written_answers_name_the_version_in_force_though_their_pieces_are_kept() -> None:
    world = World()
    ask = world.replica.recommender.recommend_json
    for version in ("v0", "one", "two", "v0", "one"):
        world.live(version)
        decoded = msgspec.json.decode(ask(Query(viewer="v")), type=Answer)
        assert versions_of(decoded) == {version}
        again = world.answer()
        assert msgspec.structs.replace(decoded, request_id=again.request_id) == again


def test_scores_are_probabilities_in_order_and_terms_say_where_from() -> None:
    world = World()
    world.live("one")
    answer = world.answer(explain=True)
    assert {item.room for item in answer.rooms[:2]} == {"r1", "r2"}  # visited: the fake prefers these
    assert all(0 <= item.score <= 1 for item in answer.rooms)
    for item in answer.rooms:
        assert set(item.terms) == {"enter", "stay", "interact", "dot", "gate"}  # type: ignore[arg-type]
        assert item.terms["enter"] == pytest.approx(item.score, abs=1e-4)  # type: ignore[index]


def test_a_version_without_a_ranker_scores_as_version_0_does_with_the_towers_product() -> None:
    world = World()
    world.versions["one"] = FakeVersion("one", ranks=False)
    world.live("one")
    answer = world.answer(explain=True)
    assert versions_of(answer) == {"one"}
    for item in answer.rooms:
        assert sum(item.terms.values()) == pytest.approx(item.score, abs=1e-4)  # type: ignore[union-attr]
    assert versions_of(world.answer("stranger")) == {"one"}


def test_rooms_that_change_start_and_end_while_a_version_is_built_are_as_they_are_now_after_it() -> None:
    world = World()

    def change() -> None:
        world.during = lambda: None
        for number in range(LAST + 5):  # more than the last step takes
            world.replica.room(f"r{number}", title_vector=axis((number + 3) % 8), mean_vector=axis(0))
        world.replica.room("r30", status="ended")
        world.replica.room("r31", status="ended")
        world.replica.room("late", title_vector=axis(5))  # has the slot of one that has ended

    world.during = change
    world.live("one")
    world.check_rows()
    rooms = {item.room for item in world.answer(limit=100).rooms}
    assert "late" in rooms
    assert not rooms & {"r30", "r31"}
    assert world.replica.metrics.value("dead_rooms_returned_total") == 0


def test_a_rollback_loads_nothing_and_embeds_only_what_changed() -> None:
    world = World()
    one = world.versions["one"]
    assert isinstance(one, FakeVersion)
    world.live("one")
    world.live("two")
    world.replica.room("r3", title_vector=axis(7))
    world.replica.room("r4", status="ended")
    world.replica.room("new", title_vector=axis(6))
    embedded = one.embedded
    world.live("one")
    assert world.loaded == ["one", "two"]
    assert one.embedded - embedded <= 8  # r3, new, and what warming up asked of rooms that ended
    world.check_rows()
    world.live("v0")
    world.check_rows()
    assert versions_of(world.answer()) == {"v0"}


def test_rooms_go_on_changing_under_every_version() -> None:
    world = World()
    for round_, version in enumerate(["one", "two", "one", "v0", "three", "v0", "one"]):
        world.live(version)
        for number in range(round_, 40, 3):
            world.replica.room(f"r{number}", title_vector=axis((number + round_) % 8))
        world.replica.room(f"n{round_}", title_vector=axis(round_))
        world.replica.room(f"r{39 - round_}", status="ended")
        world.check_rows()
        assert versions_of(world.answer()) == {version}


def test_before_any_room_has_content_a_version_answers_too_and_content_comes_later() -> None:
    world = World(rooms=0)
    world.replica.room("quiet", title_vector=b"", encoder_version="")
    world.live("one")
    assert [item.room for item in world.answer().rooms] == ["quiet"]
    world.replica.room("quiet", title_vector=axis(1))
    world.replica.room("loud", title_vector=axis(2))
    world.check_rows()
    world.live("v0")
    world.check_rows()


def test_a_room_of_another_encoder_is_embedded_without_its_content() -> None:
    world = World()
    world.live("one")
    world.replica.room("r1", title_vector=axis(1), encoder_version="newer")
    rooms = world.replica.tables.rooms
    assert isinstance(world.embeddings, ModelEmbeddings)
    slot = rooms.snapshots["r1"].slot  # type: ignore[index]
    alone = world.embeddings.alone([rooms.by_slot[slot].state.streamer])
    np.testing.assert_allclose(world.embeddings.rooms.take(np.array([slot])).vectors_NE, alone.vectors_NE, rtol=1e-5)


def test_the_metric_says_when_what_answers_went_live() -> None:
    world = World()
    world.live("one")
    assert world.replica.metrics.value("model_version") == world.replica.clock.now_ms() / 1000
    assert world.replica.metrics.observed("swap_seconds", stage="flip")[0] < 1
    world.live("v0")
    assert world.replica.metrics.value("model_version") == 0


def test_the_thread_follows_what_is_announced_once_the_tables_are_read() -> None:
    world = World()
    world.replica.tables.current = False
    world.announce("one")
    stop = threading.Event()
    thread = threading.Thread(target=world.swapper.run, args=(stop,))
    thread.start()
    try:
        assert not world.swapper.settled
        world.replica.tables.current = True
        assert _soon(lambda: world.swapper.settled)
        assert world.swapper.status().version == "one"
        world.announce("two")
        assert _soon(lambda: world.swapper.status().version == "two")
    finally:
        stop.set()
        thread.join()


def _soon(condition: Callable[[], bool]) -> bool:
    waiting = threading.Event()
    return any(condition() or waiting.wait(0.02) for _ in range(500))
