"""Tests of what the Archiver promises: everything once, in files of an hour, in time, and again after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.archive.file import parse_path
from streaming.archive.reader import Archive
from streaming.clock import ManualClock
from streaming.errors import ConfigError, Unreadable
from streaming.log.log import Partition
from streaming.log.misplaced_records import marked
from streaming.log.topics import CHAT, HOUR_MS, ROOM_STATES
from streaming.troubles import Skipped, Trouble
from tests.unit.streaming.archive.world import START_MS, World, archived


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


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@pytest.mark.parametrize(
    ("later", "truncated"),  # of a disk that was lost nothing tells once there is more than before
    [(2, False), (9, False), (2, True)],
    ids=["fewer", "more", "disk lost"],
)
def test_a_topic_that_was_made_anew_goes_on_where_it_ended(folder: World, later: int, truncated: bool) -> None:
    folder.say(5)
    folder.say(4, 1)
    folder.run()
    before = archived(folder.archive())
    folder.log.remake(CHAT, truncated=truncated)
    folder.say(later)
    archiver = folder.archiver()
    archiver.run_once(threading.Event())
    assert archiver.status().anew == (CHAT,)
    assert folder.metrics.value("topics_anew_total", reader="archiver", topic=CHAT) == 1
    found = archived(folder.archive())
    assert [row for row in found if row in before] == before
    assert [row[:2] for row in found if row not in before] == [(0, 5 + n) for n in range(later)]
    texts = [record.record.text for record in folder.archive().records(CHAT)]
    assert sorted(map(int, texts)) == list(range(1, 10 + later))
    layout = ds.partitioning(pa.schema([("topic", pa.string()), ("hour", pa.string())]), flavor="hive")
    by_others = ds.dataset(folder.archive().store.uri, partitioning=layout).to_table(filter=ds.field("topic") == CHAT)
    assert by_others.num_rows == 9 + later, "tools that only know Parquet are not troubled by what else lies there"
    folder.say(1)
    folder.say(1, 1)
    again = folder.archiver()
    again.run_once(threading.Event())
    assert again.status().anew == ()  # said once
    assert [row[:2] for row in archived(folder.archive())][-1] == (1, 4)
    assert not folder.archive().skipped


def test_a_topic_made_anew_while_the_archiver_runs_loses_nothing(folder: World) -> None:
    folder.say(5)
    folder.run()
    stop = threading.Event()
    archiver = folder.archiver()
    thread = threading.Thread(target=archiver.run, args=(stop,))
    thread.start()
    folder.say(2)
    folder.run()
    folder.log.remake(CHAT)
    folder.say(8)
    until(lambda: bool(archiver.status().anew))
    stop.set()
    thread.join()
    folder.run()
    texts = [record.record.text for record in folder.archive().records(CHAT)]
    assert sorted(map(int, texts)) == list(range(1, 16))


def test_partitions_that_a_topic_has_got_are_archived_without_a_restart(folder: World) -> None:
    folder.say(3)
    stop = threading.Event()
    archiver = folder.archiver()
    thread = threading.Thread(target=archiver.run, args=(stop,))
    thread.start()
    folder.log.grow(CHAT, 4)
    folder.say(2, 3)
    until(lambda: archiver.status().waiting + archiver.status().records >= 5)
    stop.set()
    thread.join()
    assert [row[:2] for row in archived(folder.archive())] == [(0, 0), (0, 1), (0, 2), (3, 0), (3, 1)]


def test_two_archivers_agree_on_where_a_topic_made_anew_begins(folder: World) -> None:
    folder.say(5)
    folder.run()
    folder.log.remake(CHAT)
    folder.say(3)
    for archiver in (folder.archiver(), folder.archiver()):
        archiver.run_once(threading.Event())
    assert [row[:2] for row in archived(folder.archive())] == [(0, n) for n in range(8)]


def test_copies_of_forwarded_records_are_read_once(folder: World) -> None:
    folder.say(2)
    original = folder.log.read(Partition(CHAT, 0), 1, 1)[0]
    folder.log.sink().send(CHAT, original.key, marked(original), 1)
    folder.run()
    assert len(archived(folder.archive())) == 3  # nothing of the log is left out
    assert [record.record.text for record in folder.archive().records(CHAT)] == ["1", "2"]


@pytest.mark.parametrize("name", ["flush_s", "flush_rows", "flush_mb", "compact_mb"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"archive.{name} is 0"):
        ArchiveConfig(**{name: 0})


def test_a_partition_that_cannot_be_read_is_said_once_everything_else_is_archived(world: World) -> None:
    world.say(5)
    world.say(5, partition=1)
    world.log.trouble(Trouble(CHAT, 0, 2, "codec", "offset 2: packed with codec 6"))
    with pytest.raises(Unreadable, match="chat partition 0: offset 2: packed with codec 6"):
        world.run()
    assert [(file.partition.index, file.first, file.last) for file in world.archive().files()] == [(0, 0, 1), (1, 0, 4)]
    world.log.mend(Partition(CHAT, 0))
    world.run()
    assert archived(world.archive()) == world.on_the_log()


def test_a_running_archiver_says_what_it_does_not_read_and_goes_on_with_the_rest(world: World) -> None:
    world.say(2)
    world.log.trouble(Trouble(CHAT, 0, 1, "damaged", "offset 1: a batch fails its checksum"))
    archiver, stop = world.archiver(), threading.Event()
    thread = threading.Thread(target=archiver.run, args=(stop,))
    thread.start()
    waiting = threading.Event()
    try:
        assert any(archiver.status().troubles or waiting.wait(0.02) for _ in range(500))
        world.say(3, partition=1)
        assert any(archiver.status().waiting == 4 or waiting.wait(0.02) for _ in range(500))
    finally:
        stop.set()
        thread.join()
    assert [(one.topic, one.offset, one.reader) for one in archiver.status().troubles] == [(CHAT, 1, "archiver")]
    assert [(file.partition.index, file.last) for file in world.archive().files()] == [(0, 0), (1, 2)]
    assert world.metrics.value("log_partition_troubles", reader="archiver", topic=CHAT, kind="damaged") == 1


def test_offsets_that_are_passed_over_are_counted_and_what_follows_is_archived(world: World) -> None:
    world.say(6)
    world.log.lose(Skipped(CHAT, 0, 1, 3, "why"))
    world.run()
    assert [row[1] for row in archived(world.archive())] == [0, 4, 5]
    assert world.metrics.value("log_offsets_skipped_total", reader="archiver", topic=CHAT) == 3
    world.say(1)
    world.run()
    assert [row[1] for row in archived(world.archive())] == [0, 4, 5, 6]
