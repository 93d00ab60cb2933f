"""Owns what the Archiver promises: everything once, in files of an hour, in time, and again after a failure."""

from __future__ import annotations

import threading

import pytest

from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.archive.file import parse_path
from streaming.archive.reader import Archive
from streaming.clock import ManualClock
from streaming.errors import ConfigError
from streaming.log import Partition
from streaming.memory_log import MemoryLog
from streaming.topics import CHAT, HOUR_MS, ROOM_STATES
from tests.unit.streaming.archive.world import COUNTS, START_MS, World, archived


def test_everything_on_the_log_is_in_the_archive_once_byte_for_byte(world: World) -> None:
    sink = world.log.sink()
    world.say(20)
    world.say(7, partition=1)
    sink.send(CHAT, None, b"\xff no record", 1)
    sink.send(ROOM_STATES, b"r", None)
    world.run()
    assert archived(world.archive()) == world.on_the_log()
    assert archived(world.archive(), ROOM_STATES) == [(0, 0, START_MS, b"r", None)]
    assert archived(world.archive(), "models") == []


def test_a_second_run_goes_on_where_the_files_end(world: World) -> None:
    world.say(5)
    world.run()
    world.run()
    world.say(5)
    world.run()
    assert [(file.first, file.last) for file in world.archive().files()] == [(0, 4), (5, 9)]
    assert archived(world.archive()) == world.on_the_log()
    assert world.metrics.value("archive_records_total") == 10


def test_a_file_holds_one_hour_and_its_path_says_which(folder: World) -> None:
    folder.say(3)
    folder.clock.advance(HOUR_MS - 1)
    folder.say(1)
    folder.clock.advance(1)
    folder.say(2)
    folder.run()
    files = folder.archive().files()
    assert [(file.from_ms - START_MS, file.first, file.last) for file in files] == [(0, 0, 3), (HOUR_MS, 4, 5)]
    assert files[0].path == "topic=chat/hour=2024-10-04T00/chat-0-0000000000000000000-0000000000000000003.parquet"
    assert all(parse_path(file.path, file.num_bytes) == file for file in files)


def test_a_file_is_written_when_its_oldest_record_has_waited_and_a_stop_writes_the_rest(folder: World) -> None:
    archiver, stop = folder.archiver(), threading.Event()
    counts: list[int] = []

    class Ticking(ManualClock):
        def monotonic_s(self) -> float:
            counts.append(len(folder.archive().files()))
            if len(counts) == 20:
                folder.say(1)
            if len(counts) == 40:
                stop.set()
            return folder.clock.monotonic_s() + 10 * len(counts)

    folder.say(4)
    archiver._clock = Ticking(START_MS)
    archiver.run(stop)
    assert counts[3] == 0
    assert [(file.first, file.last) for file in folder.archive().files()] == [(0, 3), (4, 4)]


def test_many_rows_and_many_bytes_are_written_without_waiting(folder: World) -> None:
    folder.say(12_000)
    folder.say(3, 1)
    folder.config = ArchiveConfig(flush_rows=5_000)
    folder.run()
    assert [file.last for file in folder.archive().files()] == [4_999, 9_999, 11_999, 2]
    assert archived(folder.archive()) == folder.on_the_log()


def test_two_archivers_of_the_same_records_give_each_once(world: World) -> None:
    """The second began before the first had written, and cut its files elsewhere."""

    class Blind(Archive):
        def positions(self) -> dict[Partition, int]:
            return {}

    for count in (3, 5, 2):
        world.say(count)
        world.run()
        blind = Blind(world.store)
        Archiver(world.log, world.config, world.metrics, world.clock, archive=blind).run_once(threading.Event())
    ranges = {(file.first, file.last) for file in world.archive().files()}
    assert ranges == {(0, 2), (3, 7), (8, 9), (0, 7), (0, 9)}
    assert archived(world.archive()) == world.on_the_log()
    assert [one.offset for one in world.archive().records(CHAT)] == list(range(10))


def test_the_loop_tries_again_after_a_failure(folder: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    waits: list[float | None] = []

    def wait(timeout: float | None = None) -> bool:
        waits.append(timeout)
        folder.log.resume()
        return False

    monkeypatch.setattr(stop, "wait", wait)
    folder.say(3)
    folder.log.pause()
    folder.config = ArchiveConfig(flush_rows=1)
    checks = iter(range(5))
    monkeypatch.setattr(stop, "is_set", lambda: next(checks, None) is None)
    folder.archiver().run(stop)
    assert waits == [0.5]
    assert folder.metrics.value("archive_failures_total") == 1
    assert archived(folder.archive()) == folder.on_the_log()


def test_a_topic_that_was_made_anew_is_refused_and_the_others_go_on(folder: World) -> None:
    folder.say(5)
    folder.run()
    folder.log = MemoryLog(folder.clock, COUNTS)
    folder.say(2)
    folder.say(4, 1)
    archiver = folder.archiver()
    archiver.run_once(threading.Event())
    assert archiver.status().refused == ("chat-0",)
    assert [row[:2] for row in archived(folder.archive())] == [*((0, o) for o in range(5)), *((1, o) for o in range(4))]


@pytest.mark.parametrize("name", ["flush_s", "flush_rows", "flush_mb", "compact_mb"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"archive.{name} is 0"):
        ArchiveConfig(**{name: 0})
