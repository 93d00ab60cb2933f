"""The files of stores in a host's folder: which may be used again, which are thrown away. Never reads a profile.

A file is locked by the process that has it, so two never write one: who finds a partition's file locked makes another.
"""

from __future__ import annotations

import fcntl
import logging
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from actors.profiles.store import Mark, ProfileStore, places_of
from streaming.clock import Clock
from streaming.errors import StoreDamaged, StoreUnwritable
from streaming.events import SCHEMA_VERSION
from streaming.machine.private_folder import make_private
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

# The log keeps a tombstone for a day (Kafka's delete.retention.ms): an older file may hold viewers whose end is no
# longer on the log. A quarter of that, so that no clock and no setting comes near
USABLE_MS = 6 * 3_600_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SUFFIX = ".sqlite"
MOST_DAMAGED = 20  # then the disk is not to be trusted, and profiles stay in memory


@dataclass(slots=True)
class OpenStore:
    """A store that this process has, and the mark to be written into it. next_offset: 0 for a new one."""

    store: ProfileStore
    mark: Mark
    _lock: int
    next_offset: int = 0

    def close(self, *, keep: bool) -> None:
        """Closes the store. keep: leaves the file for the next process; else it is deleted."""
        self.store.close()
        if not keep or self.store.is_damaged:
            _delete(self.store.path)
        os.close(self._lock)


@dataclass(slots=True)
class StoreFolder:
    """A folder with the files of one host's ProfileWorkers. bytes_per_store: most that a file may have."""

    folder: Path
    metrics: Metrics
    clock: Clock
    bytes_per_store: int = 1 << 40
    damaged: int = field(default=0)

    def reuse(self, index: int, made: int, partitions: int) -> OpenStore | None:
        """The newest file of a partition that may be used again, None where there is none; others are deleted.

        made: of the topic. partitions: among which its keys are divided. Raises StoreUnwritable.
        """
        best: OpenStore | None = None
        for path in sorted(self.folder.glob(f"{made:x}-{index}-*{SUFFIX}")) if self.folder.is_dir() else ():
            found = self._usable(path, self._wanted(made, partitions))
            if found is not None and best is not None:
                worse, best = sorted((best, found), key=lambda one: one.next_offset)
                worse.close(keep=False)
            else:
                best = found or best
        if best is not None:
            self.metrics.count("profile_stores_opened_total", how="reused")
        return best

    def make(self, index: int, made: int, partitions: int) -> OpenStore:
        """A new file. Raises StoreUnwritable."""
        if self.damaged >= MOST_DAMAGED:
            raise StoreUnwritable(f"{self.folder}: {self.damaged} files in it were damaged; profiles stay in memory")
        try:
            make_private(self.folder)
            path = self.folder / f"{made:x}-{index}-{uuid.uuid4().hex[:12]}{SUFFIX}"
            lock = _locked(path)
        except OSError as err:
            raise StoreUnwritable(f"{self.folder}: {err.strerror}") from err
        if lock is None:
            raise StoreUnwritable(f"{path} is another process's")
        try:
            store = ProfileStore(path, self.bytes_per_store)
        except (StoreDamaged, StoreUnwritable, OSError) as err:
            _delete(path)
            os.close(lock)
            raise StoreUnwritable(str(err)) from err
        self.metrics.count("profile_stores_opened_total", how="new")
        return OpenStore(store, self._wanted(made, partitions), lock)

    def sweep(self) -> None:
        """Deletes files that nobody has and nobody may use again."""
        if not self.folder.is_dir():
            return
        for path in self.folder.glob(f"*{SUFFIX}"):
            lock = self._lock_of(path)
            if lock is None:
                continue
            try:
                usable = _is_usable(_mark(path), None, self.clock.now_ms())
            except (StoreDamaged, StoreUnwritable):
                usable = False
            if not usable:
                LOGGER.info("%s is deleted: nobody may use it again", path)
                _delete(path)
            os.close(lock)

    def drop_others(self, index: int, made: int) -> None:
        """Deletes files of a partition that nobody has: another process has left them, and this one has its own."""
        for path in self.folder.glob(f"{made:x}-{index}-*{SUFFIX}") if self.folder.is_dir() else ():
            lock = self._lock_of(path)
            if lock is not None:
                _delete(path)
                os.close(lock)

    def count_damage(self, err: StoreDamaged) -> None:
        """Counts a file that has to be thrown away."""
        self.damaged += 1
        self.metrics.count("profile_stores_damaged_total")
        LOGGER.warning("%s; it is thrown away, and read again from the log", err)

    def _usable(self, path: Path, wanted: Mark) -> OpenStore | None:
        lock = self._lock_of(path)
        if lock is None:
            return None
        try:
            mark = _mark(path)
            if mark is not None and _is_usable(mark, wanted, self.clock.now_ms()):
                return OpenStore(ProfileStore(path, self.bytes_per_store), wanted, lock, mark.next_offset)
        except StoreDamaged as err:
            self.count_damage(err)
        except StoreUnwritable as err:
            LOGGER.warning("%s", err)
        _delete(path)
        os.close(lock)
        return None

    @staticmethod
    def _lock_of(path: Path) -> int | None:
        """The lock of an existing file; None where another process has it, or has just deleted it."""
        try:
            lock = _locked(path)
        except OSError:
            return None
        if lock is not None and not path.exists():
            _delete(path)
            os.close(lock)
            return None
        return lock

    @staticmethod
    def _wanted(made: int, partitions: int) -> Mark:
        return Mark(SCHEMA_VERSION, made, partitions, BOOT_ID.read_text().strip())


def _is_usable(mark: Mark | None, wanted: Mark | None, now_ms: int) -> bool:
    if mark is None or not mark.made or not 0 <= now_ms - mark.at_ms < USABLE_MS:
        return False
    boot = BOOT_ID.read_text().strip() if wanted is None else wanted.boot
    if mark.boot != boot:
        return False
    same = wanted is None or (mark.version, mark.made, mark.partitions) == (
        wanted.version, wanted.made, wanted.partitions,
    )  # fmt: skip
    return same and mark.next_offset > 0


def _mark(path: Path) -> Mark | None:
    """The mark of a file that this process has locked; None without one. Raises StoreDamaged, StoreUnwritable."""
    store = ProfileStore(path, 1 << 40)
    try:
        return store.mark()
    finally:
        store.close()


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _locked(path: Path) -> int | None:
    """Takes the lock of a file; None where another process has it. It ends with the process, however that ends.

    The lock has a file of its own: closing any descriptor of SQLite's file would end SQLite's locks on it.
    """
    there = _lock_path(path)
    lock = os.open(there, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if there.exists() and os.fstat(lock).st_ino == there.stat().st_ino:  # not deleted meanwhile by who had it
            return lock
    except BlockingIOError:
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _delete(path: Path) -> None:
    """Deletes a file that this process has locked, the lock last."""
    for place in (*places_of(path), _lock_path(path)):
        place.unlink(missing_ok=True)
