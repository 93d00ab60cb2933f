"""Unfinished runs in a store that every host reaches: what one on an empty disk needs to go on. Never learns.

NAME/holder.json   who trains it (training/fit/run_holder.py), written first
NAME/files/…       the run folder (training/fit/run_folder.py)
NAME/run.json      the sizes and checksums of these, written last: without it there is no run
NAME/…             checkpoints, by Ray Train or training/fit/checkpoints.py

Every run has a folder of its own, so trainings at the same time do not disturb each other.
"""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec
import pyarrow as pa

from streaming.archive.store import Store, read_bytes
from streaming.errors import TrainingError
from training.fit.run_folder import RunFolder, open_run_folder
from training.fit.run_holder import Holder, read_holder
from training.model.config import RANKED
from training.registry.manifest import FileInfo, digest

LOGGER = logging.getLogger(__name__)
FORMAT = 1
RUN, FILES = "run.json", "files"
NAME = re.compile("fit-[0-9a-f]{16}")  # as RunFolder.name has it


class TransferProgress(Protocol):
    """A follower of what takes long on the way to a store and back."""

    def began(self, stage: str) -> None:
        """Begins a stage, named in words, that may report nothing more until it is over."""

    def transferred(self, done: int, total: int) -> None:
        """Takes how many of the bytes are there."""


class StoredRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is in the store as a whole. version: what it makes; features: of the build that made it."""

    format: int
    name: str
    version: str
    created_at_ms: int
    features: tuple[str, ...]
    files: dict[str, FileInfo]


class RunStore:
    """The runs below the root of a store. Each call may raise ArchiveError: the store does not do it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(self) -> set[str]:
        """The names of all runs, whole or not. What else lies in the store is none of ours."""
        tops = {entry.path.partition("/")[0] for entry in self.store.list()}
        return {top for top in tops if NAME.fullmatch(top)}

    def whole(self) -> list[StoredRun]:
        """The runs that are whole and that this build can go on with, the newest first."""
        found = [self._described(name) for name in sorted(self.names())]
        return sorted((run for run in found if run is not None), key=lambda run: run.created_at_ms, reverse=True)

    def holders(self) -> dict[str, Holder | None]:
        """The last signs of life by the names of runs."""
        return {name: read_holder(self.store, name) for name in self.names()}

    def save(self, run: RunFolder, progress: TransferProgress) -> None:
        """Writes the run folder to the store, over what is there of it. Blocks."""
        paths = run.files
        total = sum((run.folder / path).stat().st_size for path in paths)
        infos: dict[str, FileInfo] = {}
        done = 0
        for path in paths:
            try:
                data = (run.folder / path).read_bytes()
            except OSError as err:
                raise TrainingError(f"{run.folder / path}: cannot be read: {err}") from err
            self.store.put(f"{run.name}/{FILES}/{path}", pa.py_buffer(data), replace=True)
            infos[path] = FileInfo(digest(data), len(data))
            done += len(data)
            progress.transferred(done, total)
        origin = run.plan.origin
        described = StoredRun(
            format=FORMAT,
            name=run.name,
            version=origin.version,
            created_at_ms=origin.created_at_ms,
            features=RANKED,
            files=infos,
        )
        self.store.put(f"{run.name}/{RUN}", pa.py_buffer(msgspec.json.encode(described)), replace=True)

    def fetch(self, run: StoredRun, folder: Path, progress: TransferProgress) -> RunFolder | None:
        """Writes a run to a folder, in place of what is there; None, and all as before, where it is damaged.

        Raises TrainingError: the folder cannot be written.
        """
        unfinished = folder.with_name(f"{folder.name}.part")
        total, done = sum(info.num_bytes for info in run.files.values()), 0
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            for path, info in run.files.items():
                data = self._checked(run, path, info)
                if data is None:
                    return None
                place = unfinished / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
                done += len(data)
                progress.transferred(done, total)
            if not _is_run(unfinished, run.name):
                self._refuse(run.name, "its files are not those of the run")
                return None
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        except OSError as err:
            raise TrainingError(f"{folder}: cannot be written: {err}") from err
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return open_run_folder(folder)

    def remove(self, name: str) -> None:
        """Removes a run. A part that stays where this is interrupted is no run."""
        self.store.delete(f"{name}/{RUN}")
        self.store.remove(name)

    def _described(self, name: str) -> StoredRun | None:
        try:
            text = read_bytes(self.store, f"{name}/{RUN}")
        except FileNotFoundError:
            return None  # never whole, or removed meanwhile
        try:
            run = msgspec.json.decode(text, type=StoredRun)
        except msgspec.MsgspecError as err:
            self._refuse(name, f"{RUN} cannot be read: {err}")
            return None
        if run.format != FORMAT or run.features != RANKED:
            self._refuse(name, "it is of another build, which has other features or another form of runs")
            return None
        if run.name != name or not all(map(_is_below, run.files)):
            self._refuse(name, f"{RUN} is of another run")
            return None
        return run

    def _checked(self, run: StoredRun, path: str, info: FileInfo) -> bytes | None:
        try:
            data = read_bytes(self.store, f"{run.name}/{FILES}/{path}")
        except FileNotFoundError:
            self._refuse(run.name, f"{path} is missing")
            return None
        if (len(data), digest(data)) != (info.num_bytes, info.sha256):
            self._refuse(run.name, f"{path} is not what was written")
            return None
        return data

    def _refuse(self, name: str, why: str) -> None:
        LOGGER.warning("training: run %s in %s cannot be gone on with: %s", name, self.store.masked_uri, why)


def _is_below(path: str) -> bool:
    """Whether a path stays below the folder that it is joined to."""
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/")


def _is_run(folder: Path, name: str) -> bool:
    try:
        return open_run_folder(folder).name == name
    except (TrainingError, OSError):
        return False
