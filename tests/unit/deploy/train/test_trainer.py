"""Tests of which Trainer works, and that one without the lease changes nothing. What it learns is left out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.rooms.encoder_client import Encoded
from deploy.config.settings import Settings
from deploy.train import run
from deploy.train.run import Trained
from deploy.train.trainer import BLOCK, GROUP, LEASE, LOOK_S, SharedEncoder, Trainer, trainers_lease
from streaming.archive.store import open_store
from streaming.clock import ManualClock
from streaming.errors import EncoderError
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import MODELS
from streaming.log.watched_log import TurnCounter
from streaming.metrics import MemoryMetrics
from tests.unit.training.inference.versions import bundle
from training.registry.bundle import Bundle
from training.registry.registry import GateVerdict, Registry

EVERY_S = 60.0


class Encoder:
    """Which encoder rooms are to be read with changes after each text."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gives = ""

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        self.asked.append(encoder)
        answer: Future[Encoded] = Future()
        version = self.gives or encoder or f"v{len(self.asked)}"
        answer.set_result(Encoded(np.zeros((len(texts), 4), np.float16), version))
        return answer


class Passing(threading.Event):
    """A stop whose waits pass at once: after so many seconds of the clock it is set."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__()
        self._clock, self._until_s = clock, clock.monotonic_s() + seconds

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.advance(int(1_000 * timeout))
        if self._clock.monotonic_s() >= self._until_s:
            self.set()
        return self.is_set()


class World:
    """A log with a registry, and a Trainer whose learning is a function of the test."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.metrics = ManualClock(), MemoryMetrics()
        self.log = MemoryLog(self.clock, {MODELS: 1})
        self.other = trainers_lease(self.log)
        lease = trainers_lease(self.log)
        store = open_store(str(folder / "models"), "registry")
        self.registry = Registry(store, self.log, self.clock, guard=lease.require)
        self._folder, self._lease = folder, lease
        self.checkpoints("")
        self.trainings = 0
        self.during: Callable[[], None] = lambda: None
        self.judging: Callable[[], None] = lambda: None

    def checkpoints(self, uri: str) -> None:
        """Has the Trainer keep its checkpoints there."""
        plain = Settings()
        training = replace(plain.training, every_s=EVERY_S, folder=str(self._folder / "training"), checkpoints=uri)
        counted: dict[str, Any] = {"metrics": self.metrics, "clock": self.clock, "turn_counter": TurnCounter()}
        settings = replace(plain, training=training)
        self.trainer = Trainer(settings, Encoder(), self.registry, self._lease, **counted)

    def train(self, *_: object, **__: object) -> Trained:
        self.trainings += 1
        self.during()
        return Trained(bundle(f"v{self.trainings}"), self, 1, 1)  # type: ignore[arg-type]  # only `judge` is used

    def judge(self, candidate: Bundle, live: Bundle | None) -> GateVerdict:
        self.judging()
        return GateVerdict(True, "good")

    def pass_s(self, seconds: float) -> None:
        """Runs the Trainer for so long."""
        self.trainer.run(Passing(self.clock, seconds))

    def other_takes_over(self) -> None:
        """This process was frozen for longer than its session."""
        self.log.expire(GROUP, LEASE)
        assert self.other.acquire()

    def states(self) -> dict[str, str]:
        return {one.record.version: one.state for one in self.registry.versions() if one.record.version != "v0"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setattr(run, "train", world.train)
    monkeypatch.setattr(run, "archived", lambda *_, **__: None)
    monkeypatch.setattr(run, "parent_of", lambda _: None)
    return world


def test_a_trainer_works_and_lets_others_have_the_lease_when_it_stops(world: World) -> None:
    world.pass_s(EVERY_S + 1)
    assert world.states() == {"v1": "live"}
    assert (world.trainer.state().outcome, world.trainer.state().doing) == ("live", "waiting")
    assert world.other.acquire()


def test_a_second_trainer_waits_and_says_so_and_works_when_the_first_has_left(world: World) -> None:
    assert world.other.acquire()
    world.pass_s(10 * EVERY_S)
    assert world.trainings == 0
    assert world.trainer.state().doing == "waiting for another Trainer, which works on localhost, to end"
    world.other.release()
    world.pass_s(EVERY_S + LOOK_S)
    assert world.states() == {"v1": "live"}


def test_it_takes_over_from_one_whose_session_has_ended(world: World) -> None:
    assert world.other.acquire()
    world.pass_s(EVERY_S)
    assert world.trainings == 0
    world.log.expire(GROUP, LEASE)
    world.pass_s(EVERY_S + LOOK_S)
    assert world.states() == {"v1": "live"}


def test_a_trainer_that_lost_its_lease_while_it_learned_publishes_nothing(world: World) -> None:
    world.during = world.other_takes_over
    world.pass_s(3 * EVERY_S)
    assert world.trainings == 1, "it waits for the other one then"
    assert world.states() == {}
    state = world.trainer.state()
    assert (state.outcome, state.version) == ("failed", "")
    assert "the lease 'trainer-0' of group 'trainers' is lost" in state.reason
    assert world.metrics.value("trainings_total", outcome="failed") == 1
    assert state.doing.startswith("waiting for another Trainer")


def test_one_that_lost_it_while_it_was_judged_puts_nothing_live(world: World) -> None:
    world.judging = world.other_takes_over
    world.pass_s(EVERY_S + 1)
    assert world.states() == {"v1": "candidate"}
    assert world.trainer.state().outcome == "failed"


def test_one_that_lost_it_begins_again_when_it_has_it_back(world: World) -> None:
    def freeze_once() -> None:
        if world.trainings == 1:
            world.log.expire(GROUP, LEASE)

    world.during = freeze_once
    world.pass_s(2 * EVERY_S)
    assert world.trainings == 2
    assert world.states() == {"v2": "live"}


def test_a_stage_that_would_be_for_nothing_is_not_begun(world: World) -> None:
    def go_on() -> None:
        world.other_takes_over()
        world.trainer.began("learning")
        pytest.fail("it went on")

    world.during = go_on
    world.pass_s(EVERY_S + 1)
    assert world.trainer.state().outcome == "failed"


def test_a_store_of_checkpoints_that_is_not_there_is_a_failed_training_that_names_it(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    world.checkpoints(f"file://{tmp_path}/file/checkpoints")
    world.pass_s(EVERY_S + 1)
    assert world.trainings == 0, "better now than after hours"
    state = world.trainer.state()
    assert state.outcome == "failed"
    assert state.reason.startswith("training.checkpoints file://")
    assert world.metrics.value("trainings_total", outcome="failed") == 1


def test_a_training_has_one_encoder_from_first_to_last() -> None:
    asked = Encoder()
    encoder = SharedEncoder(asked)
    assert (encoder.version, encoder.dimension) == ("v1", 4)
    assert encoder.encode(["a"] * (2 * BLOCK + 1)).shape == (2 * BLOCK + 1, 4)
    assert asked.asked == ["", "v1", "v1", "v1"]
    asked.gives = "v2"
    with pytest.raises(EncoderError, match="asked for vectors of the encoder v1, others came"):
        encoder.encode(["b"])


def test_without_a_broker_it_waits_and_says_so(world: World) -> None:
    world.log.pause()
    world.pass_s(2 * EVERY_S)
    assert world.trainings == 0
    assert world.trainer.state().doing == "waiting for the log: the in-memory log is paused"
