"""Tests of what becomes of damaged and foreign files, and of a disk that is full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from streaming.errors import ArchiveError
from streaming.log.topics import HOUR_MS
from tests.unit.streaming.archive.world import World, archived, fill


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
        broken.setattr("streaming.archive.store.os.fsync", full)
        with pytest.raises(ArchiveError, match=r"No space left on device; the disk is full: free some space"):
            folder.run()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    folder.run()
    assert archived(folder.archive()) == folder.on_the_log()
