"""Tests of how old hours are looked after: small files become one, old ones go."""

from __future__ import annotations

import threading
from typing import Any

from streaming.archive.config import ArchiveConfig
from streaming.archive.upkeep import compact
from streaming.clock import ManualClock
from streaming.log.log import Partition
from streaming.log.topics import CHAT, HOUR_MS
from tests.unit.streaming.archive.world import START_MS, World, archived, fill


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
