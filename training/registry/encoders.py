"""The files of encoders in a registry's store: written whole or not at all, checked in full when read. Never loads one.

    encoders/NAME@digest/...          the files of a Hugging Face folder that vectors depend on
    encoders/NAME@digest/files.list   size and SHA-256 of each, written last: a folder without it is no encoder

An encoder is written once, however many versions read its vectors: the digest of its files is in its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streaming.errors import ArchiveError, EncoderError, VersionError
from training.content.language_model import FILES, model_files, name_of
from training.registry.manifest import FileInfo, digest

if TYPE_CHECKING:
    from streaming.archive.store import Entry, Store

UNDER, LIST = "encoders", "files.list"  # no file of a model ends so
FORMAT = 1
MAX_LIST_BYTES = 1 << 20
MAX_FILE_BYTES = 64 << 30  # far above what an Encoder could hold
PIECE_BYTES = 4 << 20  # of a file, in memory at a time while it is read


class EncoderFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The list of an encoder's files. encoder: its NAME@digest."""

    format: int = FORMAT
    encoder: str
    files: dict[str, FileInfo]

    @property
    def num_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.num_bytes for file in self.files.values())


def write(folder: Path, store: Store, name: str) -> None:
    """Writes the files of an encoder, unless they are there. Blocks. After a crash the same call ends what was begun.

    name: its NAME@digest. Raises VersionError: the folder is another encoder's by now, or the store refuses.
    """
    try:
        if is_whole(store, name):
            return
        if (found := name_of(str(folder))) != name:
            raise VersionError(f"{folder} holds the encoder {found}, not {name}: its files have changed since")
        store.prepare()
        files = {}
        for path in model_files(folder):
            data = path.read_bytes()
            store.put(f"{UNDER}/{name}/{path.name}", data, replace=True)
            files[path.name] = FileInfo(digest(data), len(data))
        listed = EncoderFiles(encoder=name, files=files)
        text = msgspec.json.format(msgspec.json.encode(listed, order="deterministic"), indent=1)
        store.put(f"{UNDER}/{name}/{LIST}", text, replace=True)
    except (ArchiveError, EncoderError, OSError) as err:
        raise VersionError(f"the encoder {name} cannot be kept in the registry: {err}") from err


def is_whole(store: Store, name: str) -> bool:
    """Whether every file of an encoder is there with its size; says nothing of its bytes. Raises VersionError."""
    listed = find(store, name)
    if listed is None:
        return False
    there = {entry.path.rpartition("/")[2]: entry.num_bytes for entry in _entries(store, f"{UNDER}/{name}")}
    return all(there.get(file) == info.num_bytes for file, info in listed.files.items())


def find(store: Store, name: str) -> EncoderFiles | None:
    """The list of an encoder's files; None where the store does not have it. Raises VersionError: it is damaged."""
    place = f"{store.masked_uri}/{UNDER}/{name}/{LIST}"
    try:
        with store.open(f"{UNDER}/{name}/{LIST}") as file:
            text = bytes(file.read(MAX_LIST_BYTES))
        listed = msgspec.json.decode(text, type=EncoderFiles)
    except FileNotFoundError:
        return None
    except (ArchiveError, OSError) as err:
        raise VersionError(f"{place}: {err}") from err
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as err:
        raise VersionError(f"{place} is no list of files: {str(err)[:300]}") from err
    if listed.format != FORMAT:
        raise VersionError(f"{place} has format {listed.format}; this build reads {FORMAT}: update Tidecast")
    for file, info in listed.files.items():
        if "/" in file or "\\" in file or file.startswith(".") or Path(file).suffix not in FILES:
            raise VersionError(f"{place} lists {file[:100]!r}, which is no file of a model")
        if info.num_bytes > MAX_FILE_BYTES:
            raise VersionError(f"{place} lists {info.num_bytes:,} bytes for {file}; no file has so many")
    if listed.encoder != name:
        raise VersionError(f"{place} is that of {listed.encoder[:100]}")
    return listed


def read(store: Store, name: str, into: Path) -> None:
    """Writes an encoder's files into a folder, each checked. Blocks. A damaged file may be left there.

    Whether they make up the encoder of this name, `name_of` knows. Raises VersionError.
    """
    listed = _listed(store, name)
    try:
        for file, info in listed.files.items():
            with (into / file).open("wb") as copy:
                for piece in _pieces(store, f"{UNDER}/{name}/{file}", info):
                    copy.write(piece)
    except OSError as err:
        raise VersionError(f"{into}: the encoder {name} cannot be written: {err}") from err


@contextlib.contextmanager
def copied(store: Store, name: str | None) -> Iterator[Path | None]:
    """A copy of an encoder in a folder that goes afterwards; None without a name, or where the store has none.

    Raises VersionError.
    """
    if name is None or find(store, name) is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tidecast-encoder-") as place:
        folder = Path(place) / name.rpartition("@")[0]
        folder.mkdir()
        read(store, name, folder)
        yield folder


def check(store: Store, name: str) -> None:
    """Reads back all files of an encoder. Blocks. Raises VersionError: one is damaged, or not there."""
    for file, info in _listed(store, name).files.items():
        for _ in _pieces(store, f"{UNDER}/{name}/{file}", info):
            pass


def names(store: Store) -> list[str]:
    """The encoders of which files are there: whole, damaged, or half deleted. Raises VersionError."""
    paths = [entry.path.split("/") for entry in _entries(store, UNDER)]
    return sorted({path[1] for path in paths if len(path) == 3})  # UNDER/NAME/FILE


def remove(store: Store, name: str) -> None:
    """Deletes an encoder's files, the list first; no error where they are gone. Raises VersionError."""
    try:
        store.delete(f"{UNDER}/{name}/{LIST}")
        for entry in store.list(f"{UNDER}/{name}"):
            store.delete(entry.path)
    except ArchiveError as err:
        raise VersionError(str(err)) from err


def _listed(store: Store, name: str) -> EncoderFiles:
    listed = find(store, name)
    if listed is None:
        raise VersionError(f"the registry {store.masked_uri} has no files of the encoder {name}")
    return listed


def _pieces(store: Store, path: str, info: FileInfo) -> Iterator[bytes]:
    """A file's bytes, piece by piece. Raises VersionError at its end: it is not the file that was listed."""
    place, sha256, num_bytes = f"{store.masked_uri}/{path}", hashlib.sha256(), 0
    try:
        with store.open(path) as file:
            while num_bytes <= info.num_bytes and (piece := bytes(file.read(PIECE_BYTES))):
                sha256.update(piece)
                num_bytes += len(piece)
                yield piece
    except FileNotFoundError as err:
        raise VersionError(f"{place} is not there") from err
    except (ArchiveError, OSError) as err:
        raise VersionError(str(err)) from err
    if num_bytes != info.num_bytes:
        raise VersionError(f"{place} has other than the {info.num_bytes:,} bytes that {LIST} says")
    if sha256.hexdigest() != info.sha256:
        raise VersionError(f"{place} is damaged: its checksum is not that of {LIST}")


def _entries(store: Store, under: str) -> list[Entry]:
    try:
        return store.list(under)
    except ArchiveError as err:
        raise VersionError(str(err)) from err
