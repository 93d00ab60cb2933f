"""A model version as files: written whole or not at all, checked in full when read. Never runs a model.

    VERSION/weights.safetensors   every array
    VERSION/names.json            lists of strings, such as the streamers that the rows of an embedding stand for
    VERSION/manifest.json         what it is, and the sizes and checksums of the others

The manifest is written last: a folder without one is no version. Nothing in it can be run: no pickle, no code. A file
may come from somebody else, so every size, path, shape and number is checked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from streaming.errors import ArchiveError, VersionError
from training.registry.manifest import ArrayInfo, FileInfo, Manifest, decode_manifest, digest, encode_manifest

if TYPE_CHECKING:
    from streaming.archive.store import Store

__all__ = ["Bundle", "Manifest", "Packed", "exists", "pack", "read", "read_manifest", "remove", "versions", "write"]

MANIFEST, WEIGHTS, NAMES = "manifest.json", "weights.safetensors", "names.json"
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILE_BYTES = {WEIGHTS: 8 << 30, NAMES: 512 << 20}  # far above what a replica could hold
DTYPES = ("float32", "float16", "int64", "int32", "int16", "uint8", "bool")


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A model version in memory.

    arrays: weights by name, read-only where they were read from files. names: lists of strings by name.
    """

    manifest: Manifest
    arrays: Mapping[str, NDArray[Any]]
    names: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A model version as the bytes of its files."""

    manifest: Manifest  # completed
    files: Mapping[str, bytes]


def pack(bundle: Bundle) -> Packed:
    """The bytes of a version's files; equal for equal contents. Raises VersionError: something cannot be written."""
    arrays = {name: np.asarray(array, order="C") for name, array in sorted(bundle.arrays.items())}
    infos = {name: ArrayInfo(array.shape, array.dtype.name) for name, array in arrays.items()}
    _check_arrays(arrays, infos, bundle.manifest.version)
    weights = safetensors.numpy.save(arrays)
    try:
        names = msgspec.json.encode({name: list(some) for name, some in bundle.names.items()}, order="deterministic")
    except UnicodeError as err:
        raise VersionError(f"version {bundle.manifest.version}: a name is not text: {err}") from err
    files = {WEIGHTS: FileInfo(digest(weights), len(weights)), NAMES: FileInfo(digest(names), len(names))}
    text = encode_manifest(msgspec.structs.replace(bundle.manifest, arrays=infos, files=files))
    return Packed(decode_manifest(text, MANIFEST), {WEIGHTS: weights, NAMES: names, MANIFEST: text})


def write(bundle: Bundle, store: Store, under: str = "") -> Manifest:
    """Writes a version to a folder of the store and returns its completed manifest. Blocks until it is on the disk.

    under: the folder, "" for the store's root. Raises VersionError: something in the bundle cannot be written, the
    folder has a version already, or the store refuses.
    """
    packed = pack(bundle)
    try:
        store.prepare()
        if exists(store, under):
            raise VersionError(f"{_place(store, under)} has a version already; nothing was written")
        for name in (WEIGHTS, NAMES):  # perhaps over what a killed process left
            store.put(_join(under, name), packed.files[name], replace=True)
        if not store.put(_join(under, MANIFEST), packed.files[MANIFEST]):
            raise VersionError(f"{_place(store, under)} was given a version by another process meanwhile")
    except ArchiveError as err:
        raise VersionError(str(err)) from err
    return packed.manifest


def exists(store: Store, under: str = "") -> bool:
    """Whether there is a whole version, damaged or not. Raises VersionError."""
    try:
        return any(entry.path == _join(under, MANIFEST) for entry in store.list(under))
    except ArchiveError as err:
        raise VersionError(str(err)) from err


def versions(store: Store) -> list[str]:
    """The folders of all whole versions in a store, damaged or not. Raises VersionError."""
    try:
        paths = [entry.path.split("/") for entry in store.list()]
    except ArchiveError as err:
        raise VersionError(str(err)) from err
    return [path[0] for path in paths if len(path) == 2 and path[1] == MANIFEST]


def read_manifest(store: Store, under: str = "") -> Manifest:
    """The manifest of a version in a folder of the store. Raises VersionError: there is none, or it is damaged."""
    return decode_manifest(_load(store, under, MANIFEST, MAX_MANIFEST_BYTES), f"{_place(store, under)}/{MANIFEST}")


def read(store: Store, under: str = "") -> Bundle:
    """The version in a folder of the store, checked in full: sizes, checksums, shapes, dtypes, finite numbers.

    Raises VersionError.
    """
    manifest, place = read_manifest(store, under), _place(store, under)
    if set(manifest.files) != {WEIGHTS, NAMES}:
        raise VersionError(f"{place}/{MANIFEST} lists {sorted(manifest.files)}; a version is {WEIGHTS} and {NAMES}")
    weights = _checked(store, under, WEIGHTS, manifest.files[WEIGHTS])
    names = _checked(store, under, NAMES, manifest.files[NAMES])
    try:
        arrays = {name: _read_only(array) for name, array in safetensors.numpy.load(weights).items()}
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as err:
        raise VersionError(f"{place}/{WEIGHTS} cannot be read: {str(err)[:300]}") from err
    _check_arrays(arrays, manifest.arrays, place)
    try:
        lists = msgspec.json.decode(names, type=dict[str, tuple[str, ...]])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as err:
        raise VersionError(f"{place}/{NAMES} is not lists of strings: {str(err)[:300]}") from err
    return Bundle(manifest, arrays, lists)


def remove(store: Store, under: str) -> None:
    """Deletes a version, the manifest first; no error where it is gone. Raises VersionError."""
    try:
        for name in (MANIFEST, NAMES, WEIGHTS):
            store.delete(_join(under, name))
    except ArchiveError as err:
        raise VersionError(str(err)) from err


def _checked(store: Store, under: str, name: str, info: FileInfo) -> bytes:
    if info.num_bytes > MAX_FILE_BYTES[name]:
        raise VersionError(
            f"{_place(store, under)}/{name} is said to have {info.num_bytes:,} bytes; "
            f"no version has more than {MAX_FILE_BYTES[name]:,}"
        )
    data = _load(store, under, name, info.num_bytes)
    if len(data) != info.num_bytes:
        raise VersionError(f"{_place(store, under)}/{name} has {len(data):,} bytes instead of {info.num_bytes:,}")
    if digest(data) != info.sha256:
        raise VersionError(f"{_place(store, under)}/{name} is damaged: its checksum is not that of the manifest")
    return data


def _load(store: Store, under: str, name: str, most_bytes: int) -> bytes:
    """A file's bytes. Raises VersionError where it is not there or has more bytes than `most_bytes`."""
    place = f"{_place(store, under)}/{name}"
    try:
        with store.open(_join(under, name)) as file:
            num_bytes = file.size()
            if num_bytes > most_bytes:
                raise VersionError(f"{place} has {num_bytes:,} bytes instead of {most_bytes:,} at most")
            return bytes(file.read())
    except FileNotFoundError as err:
        unfinished = "; it is no version, or one that was not written to its end" if name == MANIFEST else ""
        raise VersionError(f"{place} is not there{unfinished}") from err
    except (ArchiveError, OSError) as err:
        raise VersionError(str(err)) from err


def _check_arrays(arrays: Mapping[str, NDArray[Any]], infos: Mapping[str, ArrayInfo], where: str) -> None:
    for name in sorted(arrays.keys() ^ infos.keys()):
        there = "weights and not in the manifest" if name in arrays else "manifest and not in the weights"
        raise VersionError(f"version {where}: {name!r} is in the {there}")
    for name, info in infos.items():
        array = arrays[name]
        if (array.shape, array.dtype.name) != (info.shape, info.dtype):
            found = f"{array.dtype.name} {list(array.shape)}"
            raise VersionError(
                f"version {where}: {name!r} is {found}; the manifest says {info.dtype} {list(info.shape)}"
            )
        if info.dtype not in DTYPES:
            raise VersionError(f"version {where}: {name!r} is {info.dtype}; allowed are {', '.join(DTYPES)}")
        if array.dtype.kind == "f" and not _is_finite(array):
            raise VersionError(f"version {where}: {name!r} holds values that are not finite")


def _is_finite(array: NDArray[Any]) -> bool:
    """Whether each value is a number. The sum of squares knows without an array of answers, unless it overflows."""
    flat = array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(float(np.dot(flat, flat))):
            return True
    return bool(np.isfinite(flat).all())


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def _join(under: str, name: str) -> str:
    return f"{under}/{name}" if under else name


def _place(store: Store, under: str) -> str:
    return _join(store.uri.rstrip("/"), under) if under else store.uri.rstrip("/")
