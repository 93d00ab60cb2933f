"""Tests of what is read from an archive: spans, order, each record once, whatever happens to files meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streaming.archive.file import ArchiveFile
from streaming.log.topics import CHAT, HOUR_MS
from tests.unit.streaming.archive.world import START_MS, World, archive_parquet_save, archived, fill


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
