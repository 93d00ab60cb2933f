"""Tests of one encoder taking the place of another in a replica: waiting, the flip, the way back. Never two spaces."""

from __future__ import annotations

import logging

import msgspec
import numpy as np
import pytest

from actors.settings import RecommendConfig
from actors.state.room_embeddings import ModelEmbeddings
from actors.versions import compatibility
from actors.versions.compatibility import readings
from streaming.log.codec import encode
from streaming.log.topics import ROOM_STATES
from streaming.room.content_slots import read_by
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.two_encoders import NEW, OLD, THIRD, TwoEncoders, begun_anew, read


def test_a_version_waits_until_its_encoder_has_read_nearly_all_rooms(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("actors.versions.swap")  # another test may have set up the loggers above it
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    world = TwoEncoders()
    world.live("one")
    world.check(OLD, "one")
    with caplog.at_level(logging.INFO, logger.name):
        for done, percent in ((0, 0), (15, 37), (37, 92)):
            world.read(range(done), OLD, NEW)
            world.later("next" if not done else "")
            status = world.swapper.status()
            assert (status.version, status.wanted, status.refused) == ("one", "next", "")
            assert status.waits == f"waits for the encoder new: {percent} % of the live rooms have its vectors"
            world.check(OLD, "one")
    assert [record.levelname for record in caplog.records if "next" in record.message] == ["INFO"]
    assert world.replica.metrics.value("swaps_total", outcome="refused") == 0
    assert world.loaded == ["one", "next"]
    world.read(range(38), OLD, NEW)
    world.turn()
    assert world.swapper.status().version == "one", "the rooms were looked at a moment ago"
    world.later()
    assert "95 %" in world.swapper.status().waits, "the last few are waited for, for a moment"
    world.check(OLD, "one")
    for _ in range(5):
        world.later()
    assert world.swapper.status().waits == ""
    world.check(NEW, "next")


def test_once_the_last_room_is_read_nobody_waits_any_longer() -> None:
    world = TwoEncoders()
    world.live("one")
    world.read(range(39), OLD, NEW)
    world.later("next")
    assert "97 %" in world.swapper.status().waits
    world.read(range(39, 40), OLD, NEW)
    world.later()
    world.check(NEW, "next")


def test_as_long_as_the_last_rooms_become_fewer_a_version_waits_for_them() -> None:
    world = TwoEncoders()
    world.live("one")
    world.read(range(38), OLD, NEW)
    world.later("next")
    for _ in range(4):
        world.later()
    world.read(range(38, 39), OLD, NEW)
    for _ in range(5):
        world.later()
        world.check(OLD, "one")
    world.later()
    world.check(NEW, "next")


def test_a_version_of_the_encoder_in_use_waits_for_no_room() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    world.read(range(1), NEW)
    world.later("two")
    assert world.swapper.status().version == "two"


def test_a_version_waits_until_its_encoder_has_read_what_is_said_now() -> None:
    world = TwoEncoders()
    world.live("one")

    def said(numbers: range, by_new: int) -> None:
        for number in numbers:
            state = world.replica.state(f"r{number}", **{**read(number, OLD, NEW), "vector_offset": 9})
            assert state.other is not None
            other = msgspec.structs.replace(state.other, vector_offset=by_new)
            world.replica.send(ROOM_STATES, f"r{number}", encode(msgspec.structs.replace(state, other=other)))

    said(range(40), 8)
    world.later("next")
    world.check(OLD, "one")
    assert world.swapper.status().waits.endswith("100 % of the live rooms have its vectors, 0 % with what is said now")
    said(range(37), 9)
    world.later()
    assert world.swapper.status().version == "one"
    said(range(38), 9)
    world.later()
    assert world.swapper.status().version == "next", "all are read, if not to the last word"


def test_which_encoder_is_in_front_does_not_matter() -> None:
    world = TwoEncoders()
    world.live("one")
    world.read(range(20), OLD, NEW)
    world.read(range(20, 40), NEW, OLD)
    world.check(OLD, "one")
    world.later("next")
    world.check(NEW, "next")
    world.read(range(10, 30), NEW, OLD)
    world.check(NEW, "next")


def test_a_room_that_the_encoder_in_use_has_not_read_has_no_content() -> None:
    world = TwoEncoders()
    world.live("one")
    world.read(range(4), NEW)
    world.read(range(4, 8), THIRD, NEW)
    world.check(OLD, "one")
    for number in range(8):
        snapshot = world.rooms.snapshots[f"r{number}"]  # type: ignore[index]
        assert snapshot.state.encoder_version == ""
        assert np.isnan(world.rooms.vectors_ND[snapshot.slot]).all()
        embedded, alone = (
            world.embeddings.vectors(np.array([snapshot.slot])),
            world.embeddings.alone([snapshot.state.streamer]).vectors_NE,  # type: ignore[attr-defined]
        )
        np.testing.assert_allclose(embedded, alone, rtol=1e-5)


def test_a_way_back_is_the_same_backwards() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    world.live("next")
    world.check(NEW, "next")
    world.read(range(40), NEW, OLD)
    world.live("one")
    world.check(OLD, "one")
    journals = len(world.rooms._journals)
    for version, encoder in (("next", NEW), ("one", OLD), ("next", NEW)):
        world.live(version)
        world.check(encoder, version)
    assert world.loaded == ["one", "next"]
    assert len(world.rooms._journals) == journals


def test_versions_no_longer_kept_leave_no_journal() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    world.live("next")
    journals = len(world.rooms._journals)
    for version, encoder in (("two", OLD), ("after", NEW), ("one", OLD), ("next", NEW)):
        world.live(version)
        world.check(encoder, version)
        assert len(world.rooms._journals) == journals


def test_a_way_back_waits_where_the_rooms_have_left() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    world.live("next")
    world.read(range(20), NEW)
    world.later("one")
    world.check(NEW, "next")
    assert "waits for the encoder old: 50 %" in world.swapper.status().waits
    world.read(range(20), NEW, OLD)
    world.later()
    world.check(OLD, "one")
    assert world.loaded == ["one", "next"]


def fail(world: TwoEncoders, version: str) -> None:
    for _ in range(RecommendConfig().failures):
        world.replica.recommender.failures.note(version, ValueError("no"), world.replica.clock.now_ms())
    world.turn()


def test_a_version_that_fails_gives_way_at_once_to_the_one_before_in_its_space() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    world.live("next")
    fail(world, "next")
    world.check(OLD, "one")
    assert "failed" in world.swapper.status().refused


def test_a_version_that_fails_gives_way_to_version_0_where_the_rooms_have_left_the_one_before() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    world.live("next")
    world.read(range(40), NEW)
    fail(world, "next")
    world.check(NEW, "v0")
    world.later()
    world.check(NEW, "v0")


def test_a_wait_ends_where_the_version_in_force_fails_or_something_else_is_wanted() -> None:
    world = TwoEncoders()
    world.live("one")
    world.live("next")
    assert world.swapper.status().waits
    world.live("two")
    assert world.swapper.status().waits == ""
    world.check(OLD, "two")
    world.live("next")
    world.live("two")
    assert world.swapper.status().waits == ""


def test_version_0_stays_in_its_space_until_the_rooms_use_another() -> None:
    world = TwoEncoders()
    world.read(range(40), OLD, NEW)
    world.later()
    world.check(OLD, "v0")
    world.read(range(20), NEW, OLD)
    world.later()
    world.check(OLD, "v0")
    world.read(range(20, 40), NEW, OLD)
    world.later()
    world.check(NEW, "v0")
    world.later()
    world.check(NEW, "v0")
    world.live("one")
    world.check(OLD, "one")
    world.live("v0")
    world.check(OLD, "v0")


def test_version_0_leaves_a_space_that_the_rooms_have_left() -> None:
    world = TwoEncoders()
    world.read(range(37), NEW)
    world.later()
    world.check(OLD, "v0")
    world.read(range(38), NEW)
    world.later()
    world.check(NEW, "v0")


def test_version_0_leaves_such_a_space_whichever_encoder_is_in_front() -> None:
    world = TwoEncoders()
    world.read(range(20), NEW, OLD)
    world.read(range(20, 40), THIRD, NEW)
    world.later()
    world.check(NEW, "v0")


def test_version_0_in_the_place_of_a_version_keeps_the_space_in_use() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("next")
    world.read(range(40), NEW, OLD)
    world.check(NEW, "next")
    world.later("v0")
    world.check(NEW, "v0")


def test_a_projection_is_fitted_before_version_0_answers_in_another_space(monkeypatch: pytest.MonkeyPatch) -> None:
    world = TwoEncoders(rooms=60, encoders=(OLD, NEW))
    monkeypatch.setattr(world.rooms, "_index_dimension", 4)
    world.live("next")
    world.read(range(60), NEW, OLD)
    world.live("v0")
    projection = world.rooms.projection
    assert projection is not None
    assert (projection.dimension, projection.to) == (6, 4)
    assert not projection.is_due(60)
    basis = world.rooms.basis_version
    world.read(range(10), NEW, OLD)
    assert world.rooms.basis_version == basis
    world.check(NEW, "v0")


def test_a_candidate_of_another_encoder_is_kept_current_by_its_own_vectors() -> None:
    world = TwoEncoders(shadow=1.0)
    world.live("one")
    world.live("next", "candidate")
    assert world.replica.recommender._shadow.candidate is None, "its encoder has read no room"
    world.read(range(39), OLD, NEW)
    world.later()
    shadow = world.replica.recommender._shadow.candidate
    assert isinstance(shadow, ModelEmbeddings)
    world.read(range(20), NEW, OLD)
    world.read(range(39, 40), OLD, THIRD)
    world.turn()
    world.swapper._shadow.step(100)  # type: ignore[union-attr]
    world.check(OLD, "one")
    slots_N = world.rooms.slots()
    states = [read_by(world.rooms.by_slot[slot].published, NEW) for slot in slots_N.tolist()]
    expected = shadow.embed(states, world.rooms.content(states, 6))
    np.testing.assert_allclose(shadow.rooms.vectors_NE[slots_N], expected.vectors_NE, rtol=1e-5, atol=1e-6)
    world.answer()
    world.replica.recommender._shadow.compare(world.replica.clock.now_ms())
    assert world.replica.metrics.observed("shadow_overlap_ratio")
    world.live("next")
    assert world.loaded == ["one", "next"]
    world.check(NEW, "next")


@pytest.mark.parametrize("knows", ["one", ""])
def test_a_replica_that_starts_meanwhile_answers_by_the_version_before_if_it_knows_one(knows: str) -> None:
    world = TwoEncoders()
    world.read(range(20), OLD, NEW)
    if knows:
        world.announce("one")
    world.live("next")
    world.check(OLD, knows or "v0")
    assert "waits for the encoder new: 50 %" in world.swapper.status().waits
    assert world.loaded == ["next", "one"] if knows else ["next"]
    world.later()
    world.read(range(20, 40), OLD, NEW)
    world.later()
    world.check(NEW, "next")
    assert len(world.loaded) == 1 + bool(knows)


def test_a_replica_that_starts_in_the_space_to_come_goes_to_the_one_that_all_rooms_are_in() -> None:
    world = TwoEncoders(rooms=0, encoders=(NEW, OLD))
    world.read(range(5), NEW, OLD)
    world.read(range(5, 40), OLD)
    assert world.rooms.encoder == NEW
    world.live("next")
    world.check(OLD, "v0")


def test_a_version_before_that_cannot_be_loaded_does_not_stand_in() -> None:
    world = TwoEncoders()
    world.announce("damaged")
    world.live("next")
    world.later()
    world.check(OLD, "v0")
    assert world.loaded == ["next", "damaged"]


def test_a_third_encoder_takes_the_place_of_the_second() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    world.live("next")
    world.read(range(40), NEW, THIRD)
    world.check(NEW, "next")
    world.live("third")
    world.check(THIRD, "third")
    world.live("one")
    world.check(THIRD, "third")
    assert "old: 0 %" in world.swapper.status().waits


def test_vectors_are_as_long_as_the_encoder_makes_them_and_not_as_those_in_use() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.versions["wrong"] = FakeVersion("wrong", 8, encoder_version=NEW)
    world.live("one")
    world.live("wrong")
    assert "reads content of 8 dimensions; the rooms' has 6" in world.swapper.status().refused
    world.check(OLD, "one")


def test_before_any_room_has_content_a_version_answers_in_its_own_space() -> None:
    world = TwoEncoders(rooms=0)
    world.replica.room("r1", **read(1))
    world.live("next")
    world.read(range(2, 5), OLD)
    assert world.rooms.encoder == NEW
    assert world.rooms.dimension == 0
    assert world.answer().rooms, "the viewer has visited a room that ended"
    world.read(range(1, 5), OLD, NEW)
    world.check(NEW, "next")


def test_rooms_of_every_age_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility, "SAMPLE", 10)
    world = TwoEncoders(rooms=100)
    world.read(range(50, 100), OLD, NEW)
    found = readings(world.replica.tables)
    assert len(found.states) == 10
    assert found.share(NEW) == 0.5
    assert found.share(OLD) == 1
    world.read(range(60), *())
    assert readings(world.replica.tables).share(NEW) == 1, "a room without content counts for nothing"


def test_what_changes_while_a_space_is_built_is_in_it() -> None:
    world = TwoEncoders(rooms=60, encoders=(OLD, NEW))
    world.live("one")

    def change() -> None:
        world.during = lambda: None
        for number in range(25):
            world.replica.room(f"r{number}", **read(number + 3, OLD, NEW))
        for number in (30, 31, 32):
            world.replica.room(f"r{number}", status="ended", **read(number, NEW, OLD))
        world.replica.room("r30", **read(5, OLD, NEW))  # again, in the slot of another
        world.replica.room("late", **read(2, NEW))
        world.replica.room("gone", status="ended", **read(7, OLD, NEW))

    world.during = change
    world.live("next")
    world.check(NEW, "next")
    anew = begun_anew(world, NEW).tables.rooms
    assert sorted(anew.snapshots) == sorted(world.rooms.snapshots)
    assert sorted(anew.ended) == sorted(world.rooms.ended)


def test_a_version_given_up_on_the_way_leaves_the_space_in_use() -> None:
    world = TwoEncoders(encoders=(OLD, NEW))
    world.live("one")
    journals = len(world.rooms._journals)

    def fails() -> None:
        raise ValueError("no")

    world.during = fails
    world.live("next")
    assert world.swapper.status().refused == "no"
    world.during = lambda: None
    world.check(OLD, "one")
    assert len(world.rooms._journals) == journals
