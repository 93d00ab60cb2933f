"""File storage in a folder or an object store: files are written whole or not at all. Never looks into them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import fsspec
import pyarrow as pa
import pyarrow.fs

from streaming.errors import ArchiveError
from streaming.machine.private_folder import make_private
from streaming.masked_uri import masked_uri, without_secrets

UNFINISHED = ".tmp"  # suffix of a file that is being written; no reader's pattern matches it
SAID_CHARS = 1_000  # of a library's message
ABANDONED_S = 3_600.0  # writing takes seconds: an unfinished file so old was left by a killed process


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a store. path: below its root, separated by "/"."""

    path: str
    num_bytes: int


class Store(Protocol):
    """Files below a root. Each call raises ArchiveError where it fails; `open` also FileNotFoundError."""

    uri: str
    section: str
    raises: tuple[type[Exception], ...]  # exceptions of the libraries behind it

    @property
    def masked_uri(self) -> str:
        """The URI with its secrets masked, for printing."""

    def list(self, under: str = "") -> list[Entry]:
        """Lists every finished file below a folder, in any order; empty where there is no such folder."""

    def put(self, path: str, data: Any, *, replace: bool = False) -> bool:
        """Writes a file (`data`: an Arrow buffer) whole or not at all. False, without effect, where it exists.

        If two processes write the same path at once, one of both files remains.
        """

    def open(self, path: str) -> Any:
        """Opens a file to read, as an Arrow NativeFile."""

    def delete(self, path: str) -> None:
        """Removes a file; no error where it is gone already."""

    def remove(self, under: str) -> None:
        """Removes a folder with all that is in it, in any order; no error where it is gone already."""

    def prepare(self) -> None:
        """Checks, as far as possible beforehand, that writing works; removes unfinished files of killed writers."""


def open_store(uri: str, section: str = "archive", setting: str = "") -> Store:
    """Opens the store of a URI. section: the configuration's section with the URI, for messages.

    setting: the key with the URI, where it is not section.uri. Raises ArchiveError: no such kind of store, or it is not
    installed, or not reachable.
    """
    setting = setting or f"{section}.uri"
    if not uri:
        raise ArchiveError(f"no {section}: set {setting} (a folder, s3://bucket/path, ...) or give --uri")
    if "://" not in uri:
        if ONE_SLASH.match(uri) is not None:
            said = f"{setting} is {masked_uri(uri)!r}: a URI has two slashes behind its colon"
            raise ArchiveError(f"{said}; ./{masked_uri(uri)} is a folder of that name")
        return FolderStore(Path(uri).expanduser(), uri, section)
    filesystem, root = filesystem_of(uri, setting)
    if isinstance(filesystem, pa.fs.LocalFileSystem):
        return FolderStore(Path(root), uri, section)
    return ObjectStore(filesystem, root, uri, section)


def read_bytes(store: Store, path: str) -> bytes:
    """All bytes of a file. Raises FileNotFoundError, ArchiveError."""
    file = store.open(path)
    with _translated(store, f"reading {path}"), file:
        return bytes(file.read())


ONE_SLASH = re.compile(r"[a-z][a-z0-9+.-]*:/", re.I)  # such as s3:/bucket, which would be a folder called "s3:"
FREED_BY = {"archive": ", or let archive.keep_hours delete earlier", "registry": ", or retire versions with --delete"}
KNOWN = (
    "A path, file://, s3://, gs://, hdfs:// and abfs:// work as they are; others need the fsspec package of their kind"
)


def filesystem_of(uri: str, setting: str) -> tuple[Any, str]:
    """The file system of a URI, pyarrow's or fsspec's in its form, and the path in it. setting: for the message.

    Raises ArchiveError, as `open_store`.
    """
    try:
        return _filesystem(uri)
    except Exception as err:  # fsspec's libraries raise anything
        said = _said(err, uri)
        raise ArchiveError(f"{setting} is {masked_uri(uri)!r}, which cannot be opened: {said}. {KNOWN}") from err


def _filesystem(uri: str) -> tuple[Any, str]:
    try:
        filesystem, root = pa.fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        if "nrecognized filesystem" not in str(err):
            raise
        foreign, root = fsspec.core.url_to_fs(uri)
        filesystem = pa.fs.PyFileSystem(pa.fs.FSSpecHandler(foreign))
    return filesystem, root


@contextlib.contextmanager
def _translated(store: Store, what: str, *, opening: bool = False) -> Iterator[None]:
    """Turns a store's errors into ours. opening: passes on FileNotFoundError, which the caller handles."""
    try:
        yield
    except store.raises as err:
        if opening and isinstance(err, FileNotFoundError):
            raise
        advice = {
            errno.ENOSPC: "; the disk is full: free some space" + FREED_BY.get(store.section, ""),
            errno.EDQUOT: "; the quota is used up",
            errno.EACCES: "; this user may not write there",
            errno.EROFS: "; it is mounted read-only",
            errno.ENOTDIR: "; a part of the path is a file",
            errno.EEXIST: "; a part of the path is a file",
        }.get(getattr(err, "errno", None) or 0, "")
        said = _said(getattr(err, "strerror", None) or err, store.uri)
        raise ArchiveError(f"{store.section} {store.masked_uri}: {what}: {said}{advice}") from err


def _said(err: object, uri: str) -> str:
    """A library's message on one line, without secrets: some quote their whole configuration."""
    return " ".join(without_secrets(str(err) or type(err).__name__, uri).split())[:SAID_CHARS]


class FolderStore:
    """A folder on a disk. A file is written under a temporary name, synced to the disk, then linked to its own name."""

    raises: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, root: Path, uri: str, section: str = "archive") -> None:
        self.uri = uri
        self.section = section
        self._root = root

    @property
    def masked_uri(self) -> str:
        return masked_uri(self.uri)

    def list(self, under: str = "") -> list[Entry]:
        with _translated(self, "listing"):
            return list(self._walk(self._root / under))

    def put(self, path: str, data: Any, *, replace: bool = False) -> bool:
        final = self._root / path
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}{UNFINISHED}")
        with _translated(self, f"writing {path}"):
            try:
                _write(temporary, data)
                if replace:
                    temporary.replace(final)
                elif not _name(temporary, final):
                    return False
                _force(final.parent)
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def open(self, path: str) -> Any:
        with _translated(self, f"opening {path}", opening=True):
            return pa.OSFile(str(self._root / path), "rb")

    def delete(self, path: str) -> None:
        with _translated(self, f"deleting {path}"):
            (self._root / path).unlink(missing_ok=True)
        for folder in list((self._root / path).parents)[:2]:
            with contextlib.suppress(OSError):  # not empty, or gone
                if folder != self._root:
                    folder.rmdir()

    def remove(self, under: str) -> None:
        with _translated(self, f"deleting {under}"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._root / under)

    def prepare(self) -> None:
        with _translated(self, "preparing the folder"):
            if not self._root.exists():
                make_private(self._root)  # an existing one keeps its owner's permissions
            probe = self._root / f".{uuid.uuid4().hex}{UNFINISHED}"
            probe.touch()
            probe.unlink()
            for left in self._root.rglob(f".*{UNFINISHED}"):
                with contextlib.suppress(FileNotFoundError):  # its writer is alive, and has finished it
                    if time.time() - left.stat().st_mtime > ABANDONED_S:
                        left.unlink()

    def _walk(self, folder: Path) -> Iterator[Entry]:
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                about = entry.stat()
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(about.st_mode):
                yield from self._walk(Path(entry.path))
            else:
                yield Entry(Path(entry.path).relative_to(self._root).as_posix(), about.st_size)


class ObjectStore:
    """Any file system of pyarrow or fsspec. A file is one write of all its bytes, and appears when it is complete."""

    raises: tuple[type[Exception], ...] = (Exception,)

    def __init__(self, filesystem: Any, root: str, uri: str, section: str = "archive") -> None:
        self.uri = uri
        self.section = section
        self._files = filesystem
        self._root = root.rstrip("/")

    @property
    def masked_uri(self) -> str:
        return masked_uri(self.uri)

    def list(self, under: str = "") -> list[Entry]:
        below = f"{self._root}/{under}".rstrip("/")
        selector = pa.fs.FileSelector(below, recursive=True, allow_not_found=True)
        with _translated(self, "listing"):
            found = self._files.get_file_info(selector)
        start = len(self._root) + 1
        return [
            Entry(info.path.removeprefix("/" if not self._root.startswith("/") else "")[start:], info.size)
            for info in found
            if info.type == pa.fs.FileType.File
        ]

    def put(self, path: str, data: Any, *, replace: bool = False) -> bool:
        place = f"{self._root}/{path}"
        with _translated(self, f"writing {path}"):
            if not replace and self._files.get_file_info(place).type != pa.fs.FileType.NotFound:
                return False
            self._files.create_dir(place.rpartition("/")[0], recursive=True)  # object stores do nothing here
            stream = self._files.open_output_stream(place)
            stream.write(data)
            stream.close()
        return True

    def open(self, path: str) -> Any:
        with _translated(self, f"opening {path}", opening=True):
            return self._files.open_input_file(f"{self._root}/{path}")

    def delete(self, path: str) -> None:
        with _translated(self, f"deleting {path}"), contextlib.suppress(FileNotFoundError):
            self._files.delete_file(f"{self._root}/{path}")

    def remove(self, under: str) -> None:
        with _translated(self, f"deleting {under}"), contextlib.suppress(FileNotFoundError):
            self._files.delete_dir(f"{self._root}/{under}")

    def prepare(self) -> None:
        """Does nothing: an object store cannot be checked before the first write."""


def _write(temporary: Path, data: Any) -> None:
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("xb")
    except FileNotFoundError:  # a process that deleted the folder's last file has just deleted the folder
        temporary.parent.mkdir(parents=True, exist_ok=True)
        file = temporary.open("xb")
    with file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _name(temporary: Path, final: Path) -> bool:
    """Gives a file its name, unless the name is taken: a link, unlike a rename, never replaces a file."""
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError as err:
        if err.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        if final.exists():  # a file system without links
            return False
        temporary.replace(final)
    return True


def _force(folder: Path) -> None:
    """Syncs a folder's names to the disk. A lost name only means that the file is written again."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
