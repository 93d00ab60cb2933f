"""Tests of what a ProfileWorker does with the log: exactly once, whatever is cut off in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import get_args

import pytest

from actors.profiles.worker import GROUP, ProfileWorker
from actors.settings import ProfileWorkerConfig
from streaming.clock import ManualClock
from streaming.events import Action, ViewerEvent, ViewerId
from streaming.log.codec import encode
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from streaming.log.restore import last_values
from streaming.log.topics import DEAD_LETTER, ROOM_ACTIVITY, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.viewer.profile_config import ProfileConfig
from tests.reference import expected_activity, expected_profiles, published_activity, published_profiles

START_MS = 1_700_000_000_000
ACTIONS: tuple[Action, ...] = get_args(Action)


class Stage:
    """A ProfileWorker on an in-memory log, moved turn by turn."""

    def __init__(self, config: ProfileWorkerConfig | None = None, folder: Path | None = None) -> None:
        self.clock = ManualClock(START_MS)
        self.metrics = MemoryMetrics()
        self.log = MemoryLog(self.clock, {VIEWER_EVENTS: 2, VIEWER_PROFILES: 2, ROOM_ACTIVITY: 2, DEAD_LETTER: 1})
        self.config = config or ProfileWorkerConfig()
        self.folder = folder
        self.producer = self.log.sink()
        self.start()

    def start(self) -> None:
        """A new process of the same member; the old one is never heard of again."""
        self.worker = ProfileWorker(
            self.log,
            "0",
            config=self.config,
            profile=ProfileConfig(),
            metrics=self.metrics,
            clock=self.clock,
            folder=self.folder,
        )
        self.sink = self.log.sink(f"{GROUP}-0")
        self.source = self.log.group([VIEWER_EVENTS], GROUP, "0")
        self.worker.begin(self.source, self.sink)

    def send(self, viewer: str, action: Action, room: str = "r", seconds: float = 0.0) -> None:
        event = ViewerEvent(
            viewer=viewer, room=room, streamer=f"s-{room}", action=action, at_ms=self.clock.now_ms(), seconds=seconds
        )
        self.producer.send(VIEWER_EVENTS, viewer.encode(), encode(event))

    def turn(self, advance_ms: int = 30, *, commit: bool = True) -> None:
        self.clock.advance(advance_ms)
        batch = self.source.poll(0)
        if batch.revoked:
            self.worker.revoke(batch.revoked)
        if batch.assigned:
            self.worker.assign(batch.assigned)
        self.worker.apply(batch)
        positions = self.worker.publish(final=bool(batch.reshaped))
        if positions is not None and commit:
            self.sink.commit(self.source, positions)

    def assert_as_expected(self) -> None:
        assert published_profiles(self.log) == expected_profiles(self.log, ProfileConfig())
        assert published_activity(self.log) == expected_activity(self.log, ProfileConfig())


def test_event_is_visible_after_the_turn_that_read_it() -> None:
    stage = Stage()
    stage.send("v", "enter")
    stage.turn()
    assert published_profiles(stage.log)["v"].room == "r"
    stage.assert_as_expected()


def test_worker_cut_off_before_or_after_any_commit_does_everything_once() -> None:
    stage = Stage(ProfileWorkerConfig(aggregates_per_partition=3))
    rng = random.Random(5)
    for step in range(300):
        for _ in range(rng.randrange(4)):
            stage.send(f"v{rng.randrange(12)}", rng.choice(ACTIONS), f"r{rng.randrange(4)}", rng.random())
        if step % 13 == 5:
            stage.turn(commit=False)
            stage.start()
        stage.turn(500)
    stage.turn()
    stage.assert_as_expected()


def test_undecodable_and_refused_records_are_dead_letters_once() -> None:
    stage = Stage()
    stage.producer.send(VIEWER_EVENTS, b"v", b"nonsense")
    stage.producer.send(VIEWER_EVENTS, b"v", None)
    far = ViewerEvent(viewer="v", room="r", streamer="s", action="like", at_ms=START_MS + 3_600_000)
    stage.producer.send(VIEWER_EVENTS, b"v", encode(far))
    stage.send("v", "enter")
    stage.turn()
    stage.start()
    stage.turn()
    assert len(stage.log.read(Partition(DEAD_LETTER, 0), 0, 100)) == 3
    stage.assert_as_expected()


def test_a_profile_is_given_as_it_was_published_whichever_partition_it_is_on() -> None:
    stage = Stage()
    for viewer in ("v", "w", "x"):
        stage.send(viewer, "enter")
    stage.turn()
    given = {viewer: stage.worker.profile(ViewerId(viewer)) for viewer in ("v", "w", "x", "stranger")}
    lines = [line for index in range(2) for line in stage.log.read(Partition(VIEWER_PROFILES, index), 0, 9)]
    assert len({line.partition for line in lines}) == 2
    assert given == {"stranger": None} | {line.key.decode(): line.value for line in lines if line.key is not None}


def test_duplicates_are_counted() -> None:
    stage = Stage()
    stage.send("v", "enter")
    stage.send("v", "enter")
    stage.turn()
    assert stage.metrics.value("viewer_events_duplicate_total") == 1


@pytest.mark.parametrize("turns", [1, 5])
def test_nothing_read_commits_nothing(turns: int) -> None:
    stage = Stage()
    for _ in range(turns):
        stage.clock.advance(1_000)
        stage.worker.apply(stage.source.poll(0))
        assert stage.worker.publish(final=False) is None


def test_published_bytes_are_those_of_the_codec() -> None:
    stage = Stage()
    for room in ("a", "b", "a"):
        for action in ACTIONS[:1] + ACTIONS[2:]:
            stage.send("v", action, room, 1.5)
            stage.turn()
    (published,) = (
        value for p in stage.log.partitions(VIEWER_PROFILES) for value in last_values(stage.log, p).values()
    )
    assert published == encode(expected_profiles(stage.log, ProfileConfig())["v"])


def test_events_that_follow_soon_share_a_commit() -> None:
    stage = Stage()
    for number, advance_ms in enumerate((30, 5, 5, 5, 30)):
        stage.send("v", "chat", f"room {number}")
        stage.turn(advance_ms)
    assert sum(stage.log.end(partition) for partition in stage.log.partitions(VIEWER_PROFILES)) == 2
    stage.assert_as_expected()
