"""Owns where a run leaves what it needs to go on: with Ray Train, or in a file of its own. Never decides when.

Ray Train keeps checkpoints of its workers. Where the process that asks learns itself (training.workers = 0), Ray's
local mode forgets them with the process, so there they are files.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import ray.train
import torch

from streaming.archive.store import Store, open_store
from streaming.errors import ArchiveError, TrainingError

STATE = "state.pt"


class Checkpoints(Protocol):
    """Of one run."""

    def newest(self) -> dict[str, Any] | None:
        """The state to go on from; None at the beginning. Raises TrainingError: it cannot be read."""

    def keep(self, state: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Takes the place of the one before when it is whole. figures: of the step. Raises TrainingError."""


class RayCheckpoints:
    """Those of a worker of Ray Train. All workers must call `keep` at the same steps; the state of the first counts."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def newest(self) -> dict[str, Any] | None:
        """As Checkpoints says."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            state: dict[str, Any] = torch.load(Path(folder) / STATE, weights_only=True)
        return state

    def keep(self, state: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """As Checkpoints says."""
        if self._rank:
            ray.train.report(dict(figures))
            return
        with tempfile.TemporaryDirectory() as folder:
            torch.save(dict(state), Path(folder) / STATE)
            ray.train.report(dict(figures), checkpoint=ray.train.Checkpoint.from_directory(folder))


class OwnCheckpoints:
    """A file, written whole or not at all, of the one process that learns."""

    def __init__(self, storage: str, name: str) -> None:
        """storage: a folder or a URI; name: of the run, for one with other examples begins anew."""
        self._store: Store = open_store(storage, "training")
        self._path = f"{name}/{STATE}"

    def newest(self) -> dict[str, Any] | None:
        """As Checkpoints says."""
        try:
            with self._store.open(self._path) as file:
                data = bytes(file.read())
        except FileNotFoundError:
            return None
        except (ArchiveError, OSError) as err:
            raise TrainingError(f"the checkpoint {self._store.uri}/{self._path} cannot be read: {err}") from err
        state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
        return state

    def keep(self, state: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """As Checkpoints says."""
        data = io.BytesIO()
        torch.save(dict(state), data)
        try:
            self._store.put(self._path, pa.py_buffer(data.getvalue()), replace=True)
        except (ArchiveError, OSError) as err:
            raise TrainingError(f"a checkpoint cannot be written to {self._store.uri}: {err}") from err
