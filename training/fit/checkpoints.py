"""A checkpoint file of a process that learns without workers: whole or not there. Never decides when to write it.

Ray Train keeps the checkpoints of its workers. Without workers (training.workers = 0) Ray's local mode loses what is
reported when the process ends.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import torch

from streaming.archive.store import Store, open_store, read_bytes
from streaming.errors import ArchiveError, TrainingError

STATE = "state.pt"


class FileCheckpoints:
    """Checkpoints of one run in a file of a folder or object store: a `Checkpoints` (training/fit/ray_run.py)."""

    def __init__(self, storage: str, name: str) -> None:
        """storage: a folder or a URI. name: the run's; a run with other examples has another name and begins anew."""
        self._store: Store = open_store(storage, "training", "training.checkpoints")
        self._path = f"{name}/{STATE}"

    def newest(self) -> dict[str, Any] | None:
        """The state to continue from; None at the beginning. Raises TrainingError: it cannot be read."""
        try:
            data = read_bytes(self._store, self._path)
        except FileNotFoundError:
            return None
        except ArchiveError as err:
            raise TrainingError(f"the checkpoint {self._path} cannot be read: {err}") from err
        try:
            state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError) as err:
            raise TrainingError(
                f"the checkpoint {self._store.masked_uri}/{self._path} is damaged: train without --resume"
            ) from err
        return state

    def keep(self, state: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Writes a state in place of the one before. Raises TrainingError: it cannot be written."""
        data = io.BytesIO()
        torch.save(dict(state), data)
        try:
            self._store.put(self._path, pa.py_buffer(data.getvalue()), replace=True)
        except ArchiveError as err:
            raise TrainingError(f"a checkpoint cannot be written: {err}") from err
