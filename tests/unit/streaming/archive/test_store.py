"""The places that a URI names, and what is written there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from streaming.archive.reader import Archive
from streaming.archive.store import Entry, ObjectStore, open_store
from streaming.errors import ArchiveError
from tests.unit.streaming.archive.world import World


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "no archive: set archive.uri"),
        ("s4://bucket/x", "'s4://bucket/x', which cannot be opened"),
        ("file://a/b", "'file://a/b', which cannot be opened"),
        ("s3:/bucket/x", "a URI has two slashes behind its colon"),
        ("S3:/K:wJalrXUtnFEMI@bucket", "'S3:/K:.*@bucket': a URI has two slashes"),
    ],
)
def test_a_uri_that_names_no_store_is_said(uri: str, says: str) -> None:
    with pytest.raises(ArchiveError, match=says) as caught:
        Archive(uri)
    assert "wJalrXUtnFEMI" not in str(caught.value)


class Unreachable(MemoryFileSystem):
    """A file system of fsspec's whose library has errors of its own."""

    protocol = "unreachable"
    cachable = False

    def _open(self, *args: object, **options: object) -> NoReturn:
        raise RuntimeError("the service\n  says no to wJalrXUtnFEMI")

    def isfile(self, path: str) -> bool:
        return True

    def info(self, *args: object, **options: object) -> NoReturn:
        raise pa.ArrowException("Unknown error: no answer\nfor wJalrXUtnFEMI")


def test_whatever_a_stores_library_raises_is_one_line_that_names_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "unreachable://K:wJalrXUtnFEMI@bucket/x"
    store = ObjectStore(pa.fs.PyFileSystem(pa.fs.FSSpecHandler(Unreachable())), "x", uri)
    calls = (store.list, lambda: store.open("a"), lambda: store.put("a", pa.py_buffer(b"1"), replace=True))

    def fails(*_args: object, **_options: object) -> NoReturn:
        raise LookupError("no credentials\nfor wJalrXUtnFEMI")

    monkeypatch.setattr("streaming.archive.store._filesystem", fails)
    for call in (*calls, lambda: open_store(uri)):
        with pytest.raises(ArchiveError, match="unreachable://K:") as caught:
            call()
        said = str(caught.value)
        assert "wJalrXUtnFEMI" not in said
        assert "\n" not in said


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
