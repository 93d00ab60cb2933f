"""Owns what the Archiver and its readers promise, on an in-memory log and a folder."""

from __future__ import annotations

import errno
import itertools
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.archive import store as archive_store
from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.archive.file import ArchiveFile, hour_of, parse_path
from streaming.archive.reader import Archive
from streaming.archive.store import Entry, Store, open_store
from streaming.archive.upkeep import compact, prune
from streaming.clock import ManualClock
from streaming.errors import ArchiveError, ConfigError
from streaming.log import Partition
from streaming.memory_log import MemoryLog
from streaming.metrics import MemoryMetrics
from streaming.topics import CHAT, HOUR_MS, ROOM_STATES, TOPICS

START_MS = 480_000 * HOUR_MS  # the beginning of an hour in 2024
COUNTS = {topic: 2 if topic == CHAT else 1 for topic in TOPICS}
NUMBERS = itertools.count()


class World:
    """A log, an archive, and a clock that both go by."""

    def __init__(self, place: str | Store, **config: Any) -> None:
        self.clock = ManualClock(START_MS)
        self.log = MemoryLog(self.clock, COUNTS)
        self.metrics = MemoryMetrics()
        self.store = open_store(place) if isinstance(place, str) else place
        self.config = ArchiveConfig(**config)
        self._said = 0

    def say(self, count: int, partition: int = 0) -> None:
        sink = self.log.sink()
        for _ in range(count):
            self._said += 1
            message = {"type": "chat", "room": "r", "viewer": "v", "text": f"{self._said}", "at_ms": START_MS}
            sink.send(CHAT, b"r", json.dumps(message).encode(), partition)

    def archiver(self) -> Archiver:
        return Archiver(self.log, self.config, self.metrics, self.clock, archive=self.archive())

    def archive(self) -> Archive:
        return Archive(self.store, self.metrics)

    def run(self, store: Store | None = None) -> None:
        """Archives everything, without upkeep."""
        config = replace(self.config, compact=False, keep_hours=0)
        archive = Archive(store or self.store, self.metrics)
        Archiver(self.log, config, self.metrics, self.clock, archive=archive).run_once(threading.Event())

    def on_the_log(self, topic: str = CHAT) -> list[tuple[Any, ...]]:
        return [
            (p.index, r.offset, r.timestamp, r.key, r.value)
            for p in self.log.partitions(topic)
            for r in self.log.read(p, 0, 1_000_000)
        ]

    def upkeep(self) -> list[str]:
        now_ms = self.clock.now_ms()
        steps = [*prune(self.archive(), self.config, now_ms, self.metrics)]
        steps += compact(self.archive(), self.config, now_ms, self.metrics)
        return [step.action for step in steps]


def archived(archive: Archive, topic: str = CHAT, **span: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for batch in archive.read(topic, **span):
        columns = batch.set_column(2, "timestamp", batch.column("timestamp").cast(pa.int64())).to_pydict()
        rows += zip(*columns.values(), strict=True)
    return rows


@pytest.fixture(params=["folder", "file", "memory"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    places = {
        "folder": str(tmp_path / "archive"),
        "file": f"file://{tmp_path}/archive",
        "memory": f"memory://{tmp_path.name}",
    }
    return World(places[request.param])


@pytest.fixture
def folder(tmp_path: Path) -> World:
    return World(str(tmp_path))


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


def test_only_what_was_appended_in_a_span_is_read(world: World) -> None:
    for _ in range(6):
        world.say(2)
        world.clock.advance(HOUR_MS // 2)
    world.run()
    everything = world.on_the_log()
    for from_ms in (None, *range(START_MS - 1, START_MS + 3 * HOUR_MS, HOUR_MS // 4)):
        for until_ms in (None, START_MS, START_MS + HOUR_MS, START_MS + HOUR_MS + 1):
            span = {name: ms for name, ms in (("from_ms", from_ms), ("until_ms", until_ms)) if ms is not None}
            wanted = [row for row in everything if (from_ms or 0) <= row[2] < (until_ms or 1 << 60)]
            assert archived(world.archive(), **span) == wanted


def test_records_come_decoded_in_order_of_time_and_what_is_none_is_counted(world: World) -> None:
    for partition in (1, 0, 1, 0):
        world.say(2, partition)
        world.clock.advance(1)
    world.log.sink().send(CHAT, b"r", b"rubbish", 0)
    world.log.sink().send(CHAT, b"r", None, 0)
    world.run()
    refused: list[Any] = []
    found = list(world.archive().records(CHAT, refused=lambda record, _: refused.append(record.record)))
    assert [(one.timestamp_ms - START_MS, one.partition, one.offset) for one in found] == [
        *((0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1), (2, 1, 2), (2, 1, 3), (3, 0, 2), (3, 0, 3)),
        (4, 0, 5),
    ]
    assert [one.record.text for one in found[:-1]] == [str(number) for number in range(1, 9)]
    assert found[-1].record is None
    assert refused == [b"rubbish"]
    assert world.metrics.value("undecodable_total", topic=CHAT) == 1


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


@pytest.mark.parametrize("cuts", [[(0, 4), (2, 6), (5, 9)], [(0, 9), (3, 5), (5, 9)], [(0, 1), (1, 1), (1, 9), (9, 9)]])
def test_overlapping_files_give_each_record_once(folder: World, cuts: Sequence[tuple[int, int]]) -> None:
    folder.say(10)
    folder.run()
    rows = next(iter(folder.archive().read(CHAT)))
    (first,) = folder.archive().files()
    for low, high in cuts:
        file = ArchiveFile(first.partition, first.hour, low, high)
        archive_parquet_save(folder.store, file, rows.slice(low, high - low + 1))
    folder.store.delete(first.path)
    if (0, 9) in cuts:
        archive_parquet_save(folder.store, first, rows)
    assert archived(folder.archive()) == folder.on_the_log()
    folder.clock.advance(2 * HOUR_MS)
    folder.upkeep()
    assert archived(folder.archive()) == folder.on_the_log()
    assert len(folder.archive().files()) == 1


def archive_parquet_save(store: Store, file: ArchiveFile, batch: Any) -> None:
    from streaming.archive.parquet import save  # noqa: PLC0415

    save(store, file, pa.Table.from_batches([batch]))


def fill(world: World, hours: int) -> None:
    """Four small files a partition and hour; the clock stands at the beginning of the next."""
    for _ in range(4 * hours):
        world.say(3)
        world.say(2, 1)
        world.run()
        world.clock.advance(HOUR_MS // 4)


def test_small_files_of_an_hour_that_is_over_become_one(world: World) -> None:
    fill(world, 3)
    assert world.upkeep() == ["merged"] * 4, "of two partitions; the last hour is not over for long enough"
    merged = [
        (file.partition.index, file.from_ms - START_MS, file.first, file.last) for file in world.archive().files()
    ]
    assert merged[:3] == [(0, 0, 0, 11), (0, HOUR_MS, 12, 23), (0, 2 * HOUR_MS, 24, 26)]
    assert len(merged) == 2 * (2 + 4)
    assert archived(world.archive()) == world.on_the_log()
    assert world.upkeep() == []
    world.run()
    assert world.archive().positions() == {Partition(CHAT, 0): 36, Partition(CHAT, 1): 24}


def test_merged_files_stay_below_their_size(folder: World) -> None:
    fill(folder, 1)
    folder.clock.advance(HOUR_MS)
    size = max(file.num_bytes for file in folder.archive().files())
    folder.config = ArchiveConfig(compact_mb=1)
    sizes = {"most": 2 * size}

    class Small(ArchiveConfig):
        @property
        def compact_mb(self) -> Any:
            return type("Shifts", (), {"__lshift__": lambda _self, _by: sizes["most"]})()

    steps = list(compact(folder.archive(), object.__new__(Small), folder.clock.now_ms(), folder.metrics))
    assert [step.num_files for step in steps] == [2, 2, 2, 2]
    assert archived(folder.archive()) == folder.on_the_log()


def test_hours_that_are_too_old_go_and_the_newest_file_stays_to_say_where_to_go_on(world: World) -> None:
    world.config = ArchiveConfig(keep_hours=2, compact=False)
    fill(world, 4)
    assert set(world.upkeep()) >= {"deleted"}
    assert min(row[2] for row in archived(world.archive())) == START_MS + 2 * HOUR_MS
    world.clock.advance(50 * HOUR_MS)
    world.upkeep()
    assert [(file.partition.index, file.last) for file in world.archive().files()] == [(0, 47), (1, 31)]
    world.run()
    assert len(world.archive().files()) == 2, "what was deleted must not come back from the log"


def test_nothing_is_deleted_where_everything_is_to_be_kept(folder: World) -> None:
    folder.config = ArchiveConfig(keep_hours=0)
    fill(folder, 1)
    folder.clock.advance(100_000 * HOUR_MS)
    assert "deleted" not in folder.upkeep()


def test_the_loop_looks_after_old_hours_by_itself(folder: World) -> None:
    fill(folder, 2)
    stop = threading.Event()
    polls = iter(range(12))

    class Stopping(ManualClock):
        def now_ms(self) -> int:
            if next(polls, None) is None:
                stop.set()
            return folder.clock.now_ms()

    folder.say(1)
    archiver = folder.archiver()
    archiver._clock = Stopping(START_MS)
    archiver.run(stop)
    assert [(file.first, file.last) for file in folder.archive().files() if file.partition.index == 0] == [
        *((0, 11), (12, 14), (15, 17), (18, 20), (21, 23)),
        (24, 24),
    ]


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "cut off":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "rubbish":
        path.write_bytes(os.urandom(500))
    elif how == "other columns":
        pa.parquet.write_table(pa.table({"a": [1]}), path)
    elif how == "another file under this name":
        table = pa.parquet.ParquetFile(path).read()
        path.unlink()
        pa.parquet.write_table(table.slice(1), path)


@pytest.mark.parametrize("how", ["cut off", "empty", "rubbish", "other columns", "another file under this name"])
def test_a_damaged_newest_file_is_named_counted_and_written_again(folder: World, tmp_path: Path, how: str) -> None:
    folder.say(4)
    folder.run()
    folder.say(4)
    folder.run()
    newest = folder.archive().files()[-1]
    damage(tmp_path / newest.path, how)
    archive = folder.archive()
    assert [row[1] for row in archived(archive)] == [0, 1, 2, 3]
    assert list(archive.skipped) == [newest.path]
    assert folder.metrics.value("archive_files_skipped_total") == 1
    folder.run()
    assert archived(folder.archive()) == folder.on_the_log()


def test_a_damaged_page_is_found_and_nothing_is_merged_over_it(folder: World, tmp_path: Path) -> None:
    fill(folder, 1)
    folder.clock.advance(HOUR_MS)
    path = tmp_path / folder.archive().files()[1].path
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    archive = folder.archive()
    assert [row[1] for row in archived(archive) if row[0] == 0] == [0, 1, 2, 6, 7, 8, 9, 10, 11]
    before = [file for file in archive.files() if file.partition.index == 0]
    folder.upkeep()
    assert [file for file in folder.archive().files() if file.partition.index == 0] == before


def test_foreign_files_are_named_and_left_alone(folder: World, tmp_path: Path) -> None:
    folder.say(2)
    folder.run()
    foreign = ["notes.txt", "topic=chat/hour=2024-10-04T00/part-0.parquet", "topic=chat/hour=nonsense/x.parquet"]
    for name in foreign:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    archive = folder.archive()
    assert len(archive.files()) == 1
    assert sorted(archive.skipped) == sorted(foreign)
    folder.clock.advance(1_000_000 * HOUR_MS)
    folder.upkeep()
    assert all((tmp_path / name).read_text() == "mine" for name in foreign)


def test_a_full_disk_is_said_and_leaves_no_half_file(
    folder: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder.say(3)
    with monkeypatch.context() as broken:
        broken.setattr(archive_store.os, "fsync", full)
        with pytest.raises(ArchiveError, match=r"No space left on device; the disk is full: free some space"):
            folder.run()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    folder.run()
    assert archived(folder.archive()) == folder.on_the_log()


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


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "no archive: set archive.uri"),
        ("s4://bucket/x", "'s4://bucket/x', which cannot be opened"),
        ("file://a/b", "'file://a/b', which cannot be opened"),
    ],
)
def test_a_uri_that_names_no_store_is_said(uri: str, says: str) -> None:
    with pytest.raises(ArchiveError, match=says):
        Archive(uri)


def test_a_folder_that_cannot_be_is_said_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    world = World(str(tmp_path / "file" / "archive"))
    with pytest.raises(ArchiveError, match="a part of the path is a file"):
        world.run()
    with pytest.raises(ArchiveError, match="preparing the folder: No such file or directory"):
        World("/proc/nowhere").run()


def test_what_a_killed_writer_left_is_cleared_away_once_it_is_old(folder: World, tmp_path: Path) -> None:
    place = tmp_path / "topic=chat" / "hour=2024-10-04T00"
    place.mkdir(parents=True)
    old, young = place / ".a.parquet.1.tmp", place / ".b.parquet.2.tmp"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    assert folder.archive().files() == []
    folder.run()
    assert (old.exists(), young.exists()) == (False, True)


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


def test_a_reader_goes_on_where_files_are_merged_under_it(world: World) -> None:
    fill(world, 2)
    world.clock.advance(2 * HOUR_MS)
    archive = world.archive()
    rows: list[int] = []
    for number, batch in enumerate(archive.read(CHAT)):
        rows += batch.column("offset").to_pylist()
        if number == 2:
            assert "merged" in world.upkeep()
    assert rows == [*range(24), *range(16)]


@pytest.mark.parametrize("name", ["flush_s", "flush_rows", "flush_mb", "compact_mb"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"archive.{name} is 0"):
        ArchiveConfig(**{name: 0})


class Killed(Exception):
    """The process dies here."""


class Mortal:
    """A store whose process dies before or after one of its changes."""

    def __init__(self, store: Store, lives: int) -> None:
        self.uri = store.uri
        self.list, self.open, self.prepare = store.list, store.open, store.prepare
        self._store = store
        self._lives = lives

    def put(self, path: str, data: Any, *, replace: bool = False) -> bool:
        return bool(self._mortal(lambda: self._store.put(path, data, replace=replace)))

    def delete(self, path: str) -> None:
        self._mortal(lambda: self._store.delete(path))

    def _mortal(self, change: Callable[[], Any]) -> Any:
        self._lives -= 2
        if self._lives < 0:
            raise Killed
        done = change()
        if self._lives == 0:
            raise Killed
        return done


Act = tuple[str, int]
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(1, 40)),
        st.tuples(st.just("pass"), st.sampled_from([1, 20, 45, 70])),
        st.tuples(st.just("run"), st.integers(0, 12)),
        st.tuples(st.just("upkeep"), st.integers(0, 12)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40)
@given(acts=ACTS, rows=st.sampled_from([1, 3, 1_000]))
def test_killed_between_any_two_steps_each_record_is_there_once(acts: list[Act], rows: int) -> None:
    world = World(f"memory://{next(NUMBERS)}", flush_rows=rows, keep_hours=0)
    for number in range(4):  # two hours with small files in both
        world.say(3)
        world.run()
        world.clock.advance(50 * 60_000 * (number % 2))
    world.clock.advance(HOUR_MS)
    before = archived(world.archive())
    for act, number in acts:
        if act == "say":
            world.say(number, number % 2)
        elif act == "pass":
            world.clock.advance(number * 60_000)
        else:
            mortal = Mortal(world.store, number + 1)
            archive = Archive(mortal)
            try:
                if act == "run":
                    world.run(mortal)
                else:
                    list(compact(archive, world.config, world.clock.now_ms(), world.metrics))
            except Killed:
                pass
        found, there = archived(world.archive()), world.on_the_log()
        assert act != "upkeep" or found == before, "upkeep changes nothing that a reader sees"
        before = found
        for partition in (0, 1):  # without a gap, up to where it has come
            mine = [row for row in found if row[0] == partition]
            assert mine == [row for row in there if row[0] == partition][: len(mine)]
    world.run()
    world.clock.advance(2 * HOUR_MS)
    world.upkeep()
    assert archived(world.archive()) == world.on_the_log()
    assert all(file.hour == hour_of(file.from_ms) for file in world.archive().files())


def test_entries_of_a_store_are_paths_below_its_root(world: World) -> None:
    world.store.put("a/b/c.txt", pa.py_buffer(b"12345"))
    assert world.store.list() == world.store.list("a") == [Entry("a/b/c.txt", 5)]
    assert world.store.list("nowhere") == []
    assert world.store.put("a/b/c.txt", pa.py_buffer(b"other")) is False
    assert world.store.open("a/b/c.txt").read() == b"12345"
    world.store.delete("a/b/c.txt")
    world.store.delete("a/b/c.txt")
    assert world.store.list() == []
    with pytest.raises(FileNotFoundError):
        world.store.open("a/b/c.txt")
