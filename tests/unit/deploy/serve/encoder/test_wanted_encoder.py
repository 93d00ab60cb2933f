"""The wanted encoder is the live version's once it is loaded, and what is left where it cannot be had."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Literal

import pytest

from deploy.serve.encoder.encoders_here import RETRY_S
from deploy.serve.encoder.wanted_encoder import FIRST_READ_S, WantedEncoder
from streaming.events import ModelVersion
from streaming.log.codec import encode
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import MODELS
from tests.unit.deploy.serve.encoder.held import OWN, SOON_S, Loads, until
from training.registry.catalog import key_of, v0_record

A, B = "a@00000000/fp32/64", "b@00000000/fp32/64"


class World:
    """The topic, the encoders and the follower in its thread."""

    def __init__(self) -> None:
        self.loads = Loads()
        self.log = MemoryLog(self.loads.clock, {MODELS: 1})
        self.wanted = WantedEncoder(self.log, self.loads.here, self.loads.clock)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.wanted.run, args=(self.stop,), daemon=True)

    def announce(self, *records: ModelVersion) -> None:
        sink = self.log.sink()
        for record in records:
            sink.send(MODELS, key_of(record), encode(record))
        sink.flush()

    def live(self, version: str, encoder: str, state: Literal["candidate", "live", "retired"] = "live") -> ModelVersion:
        return ModelVersion(
            name="rooms", version=version, path=f"/{version}", state=state, metrics={}, at_ms=1, encoder=encoder
        )

    def comes_to(self, version: str) -> None:
        until(lambda: self.wanted.version == version)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("deploy.serve.encoder.wanted_encoder.POLL_S", 0.01)
    monkeypatch.setattr("deploy.serve.encoder.wanted_encoder.AWAY_S", 0.01)
    world = World()
    yield world
    world.stop.set()
    world.thread.join(SOON_S)


def test_without_versions_it_is_that_of_the_settings(world: World) -> None:
    world.thread.start()
    world.comes_to(OWN)
    assert world.loads.begun == [""]


def test_it_follows_what_is_live_and_the_way_back(world: World) -> None:
    world.announce(world.live("one", A))
    world.thread.start()
    world.comes_to(A)
    world.announce(world.live("two", B, "candidate"))
    world.announce(world.live("two", B))
    world.comes_to(B)
    world.announce(world.live("one", A), world.live("two", B, "retired"))
    world.comes_to(A)
    world.announce(v0_record("live", 2))
    world.comes_to(OWN)
    world.announce(world.live("one", A))
    world.comes_to(A)
    world.announce(world.live("old", ""))
    world.comes_to(OWN)
    assert world.wanted.error == ""
    assert {one.version for one in world.wanted.records} == {"one", "two", "v0", "old"}


def test_the_first_that_is_known_is_the_live_versions_and_not_that_of_the_settings(world: World) -> None:
    world.announce(world.live("one", A))
    seen: list[str] = []
    world.wanted.known.add_done_callback(lambda _: seen.append(world.wanted.version))
    world.thread.start()
    world.comes_to(A)
    assert seen == [A]


def test_what_was_live_before_is_not_wanted_while_the_topic_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.log.memory_log.MAX_POLL_RECORDS", 1)
    world.loads.ask(OWN)
    world.announce(world.live("one", B), *(world.live(f"{n}", B) for n in range(9)), world.live("two", A))
    world.thread.start()
    world.comes_to(A)
    assert world.loads.begun == ["", A]


def test_until_it_is_loaded_the_one_before_it_stays(world: World) -> None:
    world.announce(world.live("one", A))
    world.thread.start()
    world.comes_to(A)
    world.loads.slow[B] = threading.Event()
    world.announce(world.live("two", B))
    until(lambda: B in world.loads.begun)
    assert world.wanted.version == A
    world.loads.slow[B].set()
    world.comes_to(B)


def test_where_it_cannot_be_had_the_version_before_answers_on_with_its_own_and_status_says_why(world: World) -> None:
    world.announce(world.live("one", A))
    world.thread.start()
    world.comes_to(A)
    world.loads.missing.add(B)
    world.announce(world.live("two", B))
    until(lambda: bool(world.wanted.error))
    assert world.wanted.version == A
    assert world.wanted.error == (
        f"the live version's encoder {B} cannot be had: no registry has {B}; rooms are read with {A}"
    )
    world.loads.missing.clear()
    world.loads.clock.advance(int(1_000 * RETRY_S) + 1)
    world.comes_to(B)
    assert world.wanted.error == ""


def test_where_no_other_can_be_had_it_is_that_of_the_settings(world: World) -> None:
    world.loads.missing |= {A, B}
    world.announce(world.live("one", A), world.live("two", B))
    world.thread.start()
    world.comes_to(OWN)
    assert f"{B} cannot be had" in world.wanted.error


def test_while_kafka_is_away_it_stays_and_from_the_start_the_settings_say_after_a_while(world: World) -> None:
    world.log.pause()
    world.thread.start()
    world.loads.ask(OWN)
    assert world.wanted.version == ""
    world.loads.clock.advance(int(1_000 * FIRST_READ_S))
    world.comes_to(OWN)
    world.log.resume()
    world.announce(world.live("one", A))
    world.comes_to(A)
    world.log.pause()
    world.loads.clock.advance(int(1_000 * FIRST_READ_S))
    world.log.resume()
    world.announce(world.live("two", B))
    world.comes_to(B)


def test_a_topic_that_begins_anew_has_no_live_version(world: World) -> None:
    world.announce(world.live("one", A))
    world.thread.start()
    world.comes_to(A)
    world.log.remake(MODELS)
    world.comes_to(OWN)
