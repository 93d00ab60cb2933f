"""Tests of a ProfileWorker with more viewers than memory, on a real Kafka: killed, taken over from, files damaged."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from actors.intake.erasures import ErasureWriter
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.events import Action, ViewerEvent, ViewerId
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import encode
from streaming.log.topic_check import check_topics
from streaming.log.topics import VIEWER_EVENTS, TopicsConfig
from streaming.patience import Patience
from streaming.viewer.profile_config import ProfileConfig
from tests.integration.worker_group import WorkerProcess
from tests.reference import expected_activity, expected_profiles, published_activity, published_profiles

VIEWERS = 6_000  # more than 1 MB holds, which such a worker has
SETTLE_S = 60.0
ACTIONS: tuple[Action, ...] = ("enter", "enter", "watch", "like", "chat", "leave")


class World:
    """A platform's producers, and workers that share a folder."""

    def __init__(self, config: KafkaConfig, log: KafkaLog, prefix: str, folder: Path) -> None:
        with KafkaAdmin(config) as admin:
            check_topics(admin, TopicsConfig(prefix=prefix, viewer_partitions=2))
        self.log, self.folder = log, folder
        self._servers, self._prefix = config.bootstrap_servers, prefix
        self._sink, self._rng = log.sink(), random.Random(8)
        self.workers: list[WorkerProcess] = []

    def start(self, member: str = "0") -> WorkerProcess:
        found = WorkerProcess("profile", self._servers, self._prefix, member, "--folder", str(self.folder))
        self.workers.append(found)
        return found

    def play(self, events: int) -> None:
        """Events of viewers at random."""
        for _ in range(events):
            self.did(f"v{self._rng.randrange(VIEWERS)}", self._rng.choice(ACTIONS), f"r{self._rng.randrange(20)}")
        self._sink.flush()

    def did(self, viewer: str, action: Action, room: str) -> None:
        at_ms = time.time_ns() // 1_000_000
        event = ViewerEvent(viewer=ViewerId(viewer), room=room, streamer=f"of {room}", action=action, at_ms=at_ms)
        self._sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))

    def play_all(self) -> None:
        """An event of every viewer, so that nearly all are read from disk and written there again."""
        for number in range(VIEWERS):
            self.did(f"v{number}", "like", "r1")
        self._sink.flush()

    def files(self) -> set[str]:
        return {path.name for path in self.folder.glob("*.sqlite")}

    def holds(self, text: bytes) -> bool:
        """Whether a text is in any of the files."""
        return any(text in path.read_bytes() for path in self.folder.iterdir())

    def settle(self) -> None:
        """Waits until everything is done, once."""
        self.eventually(lambda: published_profiles(self.log) == expected_profiles(self.log, ProfileConfig()))
        assert published_activity(self.log) == expected_activity(self.log, ProfileConfig())

    @staticmethod
    def eventually(check: Callable[[], bool]) -> None:
        patience = Patience(SETTLE_S)
        while not check():
            assert not patience.is_over()
            time.sleep(0.2)


@pytest.fixture
def world(kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str, tmp_path: Path) -> Iterator[World]:
    made = World(kafka_config, kafka_log, topic_prefix, tmp_path / "profiles")
    yield made
    for worker in made.workers:
        worker.kill()  # one that has ended as well: its standard input is closed with it


def marked(path: Path) -> int:
    """The offset up to which a file says that it has the log."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return sum(offset for (offset,) in file.execute("SELECT next_offset FROM mark"))


def test_a_worker_that_is_killed_goes_on_with_its_files_and_does_everything_once(world: World) -> None:
    worker = world.start()
    world.play_all()
    world.settle()
    world.eventually(lambda: len(world.files()) == 2)
    world.play(500)
    world.eventually(lambda: all(marked(world.folder / name) > 0 for name in world.files()))
    files = world.files()
    for _ in range(2):
        world.play(1_000)
        worker.kill()
        worker = world.start()
        world.play(1_000)
    world.settle()
    assert files == world.files(), "the same files are used"
    worker.stop()
    assert files == world.files(), "and stay for the next process"


def test_damaged_files_are_rebuilt_while_the_worker_runs(world: World) -> None:
    world.start()
    world.play_all()
    world.settle()
    world.eventually(lambda: len(world.files()) == 2)
    before = world.files()
    for name in before:
        for path in (world.folder / name, world.folder / f"{name}-wal"):
            with path.open("r+b") as file:
                size = path.stat().st_size
                file.write(random.Random(1).randbytes(size))
    world.play_all()
    world.settle()
    world.eventually(lambda: len(world.files()) == 2 and not world.files() & before)


def test_another_process_takes_over_with_files_of_its_own(world: World) -> None:
    first = world.start()
    world.play_all()
    world.settle()
    world.eventually(lambda: len(world.files()) == 2)
    before = world.files()
    second = world.start()  # of the same name: it reads ahead, and waits for the first one to go
    world.eventually(lambda: len(world.files()) == 4)
    world.play(1_000)
    first.stop()
    world.play_all()
    world.settle()
    world.eventually(lambda: len(world.files()) == 2 and not world.files() & before)
    assert second.is_alive


def test_an_erased_viewer_is_gone_from_disk_within_seconds(world: World) -> None:
    world.start()
    world.did("v7", "enter", "a room of their own")
    world.play_all()
    world.settle()
    world.play_all()  # so that v7 is evicted
    world.settle()
    world.eventually(lambda: world.holds(b"a room of their own"))
    ErasureWriter(world.log, SystemClock()).erase(ViewerId("v7"))
    world.eventually(lambda: not world.holds(b"a room of their own"))
    world.settle()
