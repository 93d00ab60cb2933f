"""Tests of a version as files: what is read is what was written, never anything damaged."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.archive.store import Store, open_store
from streaming.errors import VersionError
from tests.unit.training.inference.versions import bundle
from training.registry.bundle import MANIFEST, NAMES, WEIGHTS, Bundle, exists, pack, read, read_manifest, remove, write
from training.registry.manifest import FileInfo, Manifest, encode_manifest


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.as_posix()}", "registry")


def same(one: Bundle, other: Bundle) -> bool:
    return one.names == other.names and all(
        np.array_equal(array, other.arrays[name]) and array.dtype == other.arrays[name].dtype
        for name, array in one.arrays.items()
    )


def test_what_is_read_is_what_was_written(store: Store) -> None:
    written = bundle()
    manifest = write(written, store, "one")
    found = read(store, "one")
    assert same(written, found)
    assert found.manifest == manifest == read_manifest(store, "one")
    assert manifest.metrics == {"ndcg10": 0.8, "visits": 3.0}
    assert manifest.arrays["tower.weight"].shape == (4, 6)
    assert not found.arrays["half"].flags.writeable


def test_the_same_contents_have_the_same_bytes() -> None:
    assert pack(bundle()).files == pack(bundle()).files
    assert pack(bundle(seed=1)).manifest.sha256 != pack(bundle()).manifest.sha256


def test_a_version_is_not_written_over_another_and_can_be_removed(store: Store) -> None:
    write(bundle(), store, "one")
    with pytest.raises(VersionError, match="has a version already"):
        write(bundle(seed=1), store, "one")
    assert same(read(store, "one"), bundle())
    remove(store, "one")
    remove(store, "one")
    assert not exists(store, "one")
    with pytest.raises(VersionError, match=r"manifest.json is not there; it is no version"):
        read(store, "one")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_flipped_byte_is_read_as_another_version(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    files = pack(bundle()).files
    folder = tmp_path_factory.mktemp("flipped")
    name = data.draw(st.sampled_from(sorted(files)))
    flipped = bytearray(files[name])
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= data.draw(st.integers(1, 255))
    for other, content in files.items():
        (folder / other).write_bytes(flipped if other == name else content)
    try:
        found = read(open_store(str(folder)))
    except VersionError:
        return
    assert name == MANIFEST, "only a manifest's spaces may differ"
    assert same(found, bundle())
    assert found.manifest == pack(bundle()).manifest


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_truncated_file_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    files = pack(bundle()).files
    folder = tmp_path_factory.mktemp("truncated")
    name = data.draw(st.sampled_from(sorted(files)))
    for other, content in files.items():
        cut = data.draw(st.integers(0, len(content) - 2)) if other == name else len(content)
        (folder / other).write_bytes(content[:cut])
    with pytest.raises(VersionError):
        read(open_store(str(folder)))


def forged(folder: Path, change: Callable[[dict[str, Any]], None], files: dict[str, bytes] | None = None) -> None:
    """A version whose manifest was changed by somebody who knows how to compute its checksum."""
    there = {**pack(bundle()).files, **(files or {})}
    plain = json.loads(there[MANIFEST])
    for name, content in (files or {}).items():
        plain["files"][name] = msgspec.to_builtins(_info(content))
    change(plain)
    there[MANIFEST] = encode_manifest(msgspec.convert(plain, Manifest))
    for name, content in there.items():
        (folder / name).write_bytes(content)


def _info(content: bytes) -> FileInfo:
    import hashlib  # noqa: PLC0415

    return FileInfo(hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda m: m["files"].update({"../../etc/passwd": m["files"][WEIGHTS]}),
            "a version is weights.safetensors and",
        ),
        (lambda m: m["files"].pop(NAMES), "a version is weights.safetensors and"),
        (lambda m: m["files"][WEIGHTS].update(num_bytes=1 << 60), "no version has more than"),
        (lambda m: m["files"][WEIGHTS].update(num_bytes=5_000), "bytes instead of 5,000"),
        (lambda m: m["files"][WEIGHTS].update(num_bytes=5), "bytes instead of 5 at most"),
        (
            lambda m: m["arrays"]["codes"].update(shape=[5, 3]),
            r"'codes' is int16 \[3, 5\]; the manifest says int16 \[5, 3\]",
        ),
        (lambda m: m["arrays"]["codes"].update(dtype="int32"), "the manifest says int32"),
        (lambda m: m["arrays"].pop("codes"), "'codes' is in the weights and not in the manifest"),
        (lambda m: m["arrays"].update(more={"shape": [1], "dtype": "int16"}), "'more' is in the manifest and not in"),
    ],
)
def test_a_forged_manifest_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str) -> None:
    forged(tmp_path, change)
    with pytest.raises(VersionError, match=says):
        read(open_store(str(tmp_path)))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({WEIGHTS: b"\x80\x04\x95pickle"}, "weights.safetensors cannot be read"),
        ({WEIGHTS: b"\xff" * 64}, "weights.safetensors cannot be read"),
        ({WEIGHTS: b""}, "weights.safetensors cannot be read"),
        ({NAMES: b'{"streamers": [1]}'}, "names.json is not lists of strings"),
        ({NAMES: b"[" * 100_000}, "names.json is not lists of strings"),
        ({NAMES: b'{"streamers": ["\xff"]}'}, "names.json is not lists of strings"),
    ],
)  # fmt: skip
def test_files_that_are_not_what_they_are_called_are_refused(
    tmp_path: Path, files: dict[str, bytes], says: str
) -> None:
    forged(tmp_path, lambda _: None, files)
    with pytest.raises(VersionError, match=says):
        read(open_store(str(tmp_path)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_weights_that_are_not_numbers_are_neither_written_nor_read(tmp_path: Path, value: float, dtype: type) -> None:
    arrays = dict(bundle().arrays)
    arrays["half"] = np.array([1, value, 2, 3, 4, 5, 6], dtype)
    with pytest.raises(VersionError, match="'half' holds values that are not finite"):
        pack(Bundle(bundle().manifest, arrays, {}))
    weights = safetensors.numpy.save(arrays)
    forged(tmp_path, lambda m: m["arrays"]["half"].update(dtype=np.dtype(dtype).name), {WEIGHTS: weights})
    with pytest.raises(VersionError, match="'half' holds values that are not finite"):
        read(open_store(str(tmp_path)))


def test_large_numbers_are_numbers() -> None:
    assert pack(Bundle(bundle().manifest, {"a": np.full(9, 60_000, np.float16)}, {}))
    assert pack(Bundle(bundle().manifest, {"a": np.zeros((0, 4), np.float32)}, {}))


@pytest.mark.parametrize("dtype", ["float64", "complex64", "uint64"])
def test_dtypes_that_nothing_reads_are_refused(dtype: str) -> None:
    with pytest.raises(VersionError, match=f"is {dtype}; allowed are float32"):
        pack(Bundle(bundle().manifest, {"a": np.zeros(2, dtype)}, {}))


@pytest.mark.parametrize("version", ["", "v0", "..", ".hidden", "a/b", "a\\b", "a b", "x" * 65, "a\n", "é"])
def test_a_name_that_is_not_one_folder_is_refused(version: str) -> None:
    with pytest.raises(VersionError, match=r"called|without a model"):
        pack(bundle(version))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is not a manifest"),
        (b"[]", "is not a manifest"),
        (b"\xff\xfe", "is not a manifest"),
        (b"[" * 100_000, "is not a manifest"),
        (b'{"format": 2, "something": "new"}', "has format 2; this build reads 1: update"),
        (b'{"format": 1}', "is not a manifest: Object missing required field"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / MANIFEST).write_bytes(text)
    with pytest.raises(VersionError, match=says):
        read(open_store(str(tmp_path)))


def test_a_manifest_edited_by_hand_is_refused(tmp_path: Path) -> None:
    write(bundle(), open_store(str(tmp_path)))
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace("0.8", "0.9"))
    with pytest.raises(VersionError, match="damaged or was edited"):
        read(open_store(str(tmp_path)))


@pytest.mark.parametrize("metric", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_not_written(metric: float) -> None:
    with pytest.raises(VersionError, match="a metric is not a number"):
        pack(bundle(metrics={"ndcg10": metric}))


def test_a_disk_that_fills_leaves_no_version_and_the_next_try_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path), "registry")
    really, calls = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        really(handle)

    monkeypatch.setattr(os, "fsync", full)
    for fails_at in range(1, 7):  # a file and its folder, three times
        calls = 0
        with pytest.raises(VersionError, match=r"registry .*the disk is full: free some space, or retire versions"):
            write(bundle(), store, "one")
        if fails_at < 6:  # the sixth: everything is written, and only its name might be lost
            assert not exists(store, "one")
        assert not list(tmp_path.rglob("*.tmp"))
        if exists(store, "one"):
            remove(store, "one")
    fails_at = 0
    write(bundle(), store, "one")
    assert same(read(store, "one"), bundle())
