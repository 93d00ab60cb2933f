"""What every store must do, on a folder, on fsspec's memory and on a server that speaks S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from streaming.archive.store import Entry, Store, open_store, read_bytes
from streaming.errors import ArchiveError
from tests.s3_server import SECRET, S3Server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(f"file://{tmp_path}/store")
    if request.param == "memory":
        MemoryFileSystem.store.clear()
        return open_store(f"memory://{tmp_path.name}")
    return open_store(request.getfixturevalue("s3").uri(tmp_path.name))


def put(store: Store, path: str, data: bytes, *, replace: bool = False) -> bool:
    return store.put(path, pa.py_buffer(data), replace=replace)


def test_a_file_is_what_was_put_there_and_stays_so_unless_it_is_replaced(store: Store) -> None:
    store.prepare()
    assert put(store, "a/b.bin", b"one")
    assert not put(store, "a/b.bin", b"two")
    assert read_bytes(store, "a/b.bin") == b"one"
    assert put(store, "a/b.bin", b"three", replace=True)
    assert read_bytes(store, "a/b.bin") == b"three"
    assert store.list() == store.list("a") == [Entry("a/b.bin", 5)]


def test_a_large_file_comes_back_as_it_was(store: Store) -> None:
    data = bytes(range(256)) * 50_000  # more than one part of an upload of S3
    assert put(store, "large", data)
    assert read_bytes(store, "large") == data


def test_what_is_not_there_is_an_empty_list_and_file_not_found(store: Store) -> None:
    assert store.list() == store.list("nowhere") == []
    with pytest.raises(FileNotFoundError):
        store.open("a")
    store.delete("a")
    store.remove("a")


def test_a_folder_is_removed_with_all_that_is_in_it_and_no_other(store: Store) -> None:
    for path in ("run/a", "run/b/c", "running", "other/a"):
        put(store, path, b"x")
    store.remove("run")
    assert {entry.path for entry in store.list()} == {"running", "other/a"}
    assert put(store, "run/a", b"anew")
    assert read_bytes(store, "run/a") == b"anew"


def test_a_server_that_is_gone_is_said_without_the_secrets_of_its_uri() -> None:
    with S3Server() as server:
        store = open_store(server.uri("x"), "training.checkpoints")
        put(store, "a", b"1")
    for call in (store.list, lambda: put(store, "b", b"1"), lambda: read_bytes(store, "a"), lambda: store.remove("a")):
        with pytest.raises(ArchiveError, match=r"training\.checkpoints s3://AKIA:\*+@bucket/x") as caught:
            call()
        assert SECRET not in str(caught.value)
