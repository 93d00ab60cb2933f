"""The claim on a run in a store: a file that its holder writes anew while it lives. Never touches the run itself.

A store has no locks, so a claim is free once its file has not changed for a while; nobody's clock is compared with
another's. A holder that was silent for so long, frozen or cut off, may find that another has the run: it then says so
when it is asked, and writes nothing more.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid

import msgspec
import pyarrow as pa

from streaming.archive.store import Store, read_bytes
from streaming.errors import ArchiveError, TrainingError

LOGGER = logging.getLogger(__name__)
HOLDER = "holder.json"
BEAT_S = 10.0  # between two signs of life: some 2,000 small writes in a run of six hours
SILENT_S = 45.0  # without one the holder is gone: four were missed


class Holder(msgspec.Struct, frozen=True):
    """A sign of life. token: of the claim; beats: how many there were before."""

    token: str
    host: str
    process: int
    beats: int = 0


class RunHolder:
    """The claim of this process on one run. From `claim` to `release` a thread keeps it."""

    def __init__(self, store: Store, name: str, *, beat_s: float = BEAT_S, silent_s: float = SILENT_S) -> None:
        """name: the run's."""
        self.name = name
        self._store, self._path, self._beat_s, self._silent_s = store, f"{name}/{HOLDER}", beat_s, silent_s
        self._own = Holder(uuid.uuid4().hex, socket.gethostname(), os.getpid())
        self._is_lost, self._over = False, threading.Event()
        self._thread: threading.Thread | None = None

    def other(self) -> Holder | None:
        """Who holds the run, if it lives: waits until it gives a sign or has been silent for long. Raises ArchiveError.

        One that has let go of the run, or left nothing that can be read, is not waited for.
        """
        seen = read_holder(self._store, self.name)
        for _ in range(round(self._silent_s / self._beat_s) + 1 if seen else 0):
            self._over.wait(self._beat_s)
            now = read_holder(self._store, self.name)
            if now != seen:
                return now
        return None

    def claim(self) -> None:
        """Makes the run this process's, whoever had it. Raises ArchiveError."""
        self._write()
        self._thread = threading.Thread(target=self._beat, name="training-run", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Raises TrainingError: another process has the run now, or has removed it; ArchiveError."""
        self._is_lost = self._is_lost or not self._is_own()
        if not self._is_lost:
            return
        raise TrainingError(
            f"run {self.name} in {self._store.masked_uri} is another process's by now: this one was silent for longer "
            f"than {self._silent_s:.0f} s; what it learned is left alone"
        )

    def release(self) -> bool:
        """Lets go of the run, so that nobody waits; whether it was this process's. An unreachable store is logged."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if not self._is_lost and self._is_own():
                self._store.delete(self._path)
                return True
        except ArchiveError as err:
            LOGGER.warning("training: %s; whoever goes on with the run waits a while", err)
        return False

    def _beat(self) -> None:
        unreachable = False
        while not self._over.wait(self._beat_s):
            try:
                self._is_lost = self._is_lost or not self._is_own()
                if self._is_lost:
                    return
                self._write()
                unreachable = False
            except ArchiveError as err:
                if not unreachable:
                    LOGGER.warning("training: no sign of life can be given: %s", err)
                unreachable = True

    def _is_own(self) -> bool:
        holder = read_holder(self._store, self.name)
        return holder is not None and holder.token == self._own.token

    def _write(self) -> None:
        self._own = msgspec.structs.replace(self._own, beats=self._own.beats + 1)
        self._store.put(self._path, pa.py_buffer(msgspec.json.encode(self._own)), replace=True)


def read_holder(store: Store, name: str) -> Holder | None:
    """The last sign of life of a run's holder; None where there is none. Raises ArchiveError."""
    try:
        return msgspec.json.decode(read_bytes(store, f"{name}/{HOLDER}"), type=Holder)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
