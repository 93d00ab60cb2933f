"""Tests of versions that do not go live: damaged, failing, of another encoder, no longer wanted."""

from __future__ import annotations

import pytest

from actors.versions.swap import RETRY_MS
from streaming.events import ModelVersion
from tests.unit.actors.fake_version import Broken, FakeVersion
from tests.unit.actors.swap_world import World, versions_of
from training.inference.interface import ServedVersion


def test_a_damaged_version_is_refused_once_and_what_answers_goes_on() -> None:
    world = World()
    world.live("one")
    world.live("damaged")
    world.turn()
    assert versions_of(world.answer()) == {"one"}
    assert world.swapper.status().wanted == "damaged"
    assert "weights.safetensors is damaged" in world.swapper.status().refused
    assert world.replica.metrics.value("swaps_total", outcome="refused") == 1
    assert world.loaded == ["one", "damaged"]
    world.replica.clock.advance(RETRY_MS)
    world.versions["damaged"] = FakeVersion("damaged")
    world.turn()
    assert versions_of(world.answer()) == {"damaged"}
    assert world.swapper.status().refused == ""


@pytest.mark.parametrize("at", ["embed", "rank", "numbers"])
def test_a_version_that_fails_is_refused_before_it_answers_anybody(at: str) -> None:
    world = World()
    world.versions["broken"] = Broken("broken", at)
    world.answer()
    world.live("broken")
    assert versions_of(world.answer()) == {"v0"}
    assert world.swapper.status().refused
    assert world.replica.metrics.value("swaps_total") == 1
    world.live("one")
    assert versions_of(world.answer()) == {"one"}
    world.check_rows()


def test_a_version_that_reads_vectors_of_another_length_is_refused() -> None:
    world = World()
    world.versions["one"] = FakeVersion("one", d_content=9)
    world.live("one")
    assert versions_of(world.answer()) == {"v0"}
    assert "reads content of 9 dimensions; the rooms' has 8" in world.swapper.status().refused


def test_a_version_that_is_no_longer_wanted_is_given_up_on_the_way() -> None:
    world = World()
    load = world.swapper._load

    def slow(record: ModelVersion) -> ServedVersion:
        world.announce("two")
        return load(record)

    world.swapper._load = slow
    world.live("one")
    assert versions_of(world.answer()) == {"v0"}
    world.swapper._load = load
    world.turn()
    assert versions_of(world.answer()) == {"two"}
    assert world.replica.metrics.value("swaps_total") == 1
    world.check_rows()
