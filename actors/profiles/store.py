"""One partition's profiles in a SQLite file: a cache of the log, never the truth. Never decides what is kept there.

The file can be lost or thrown away at any time; it is then read again from viewer-profiles. So nothing is synced to the
disk: what a machine that went down has left is recognised by its boot id and not used, and each row has a checksum.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from streaming.errors import StoreDamaged, StoreUnwritable

FORMAT = 1  # of the file; another one is thrown away
PAGE_BYTES = 4_096
WAL_PAGES = 1_000  # 4 MB of the write-ahead log, then they are moved to the file
CACHE_KB = 16_384  # SQLite's own; the system's page cache holds the rest
_SCHEMA: Final = """
CREATE TABLE profile (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,
  appended_ms INTEGER, present INTEGER, erased INTEGER, crc INTEGER, value BLOB
);
CREATE INDEX presence ON profile (present) WHERE present;
CREATE TABLE mark (
  format INTEGER, version INTEGER, made TEXT, partitions INTEGER, boot TEXT, next_offset INTEGER, at_ms INTEGER
);
"""
_PUT: Final = """
INSERT INTO profile (key, appended_ms, present, erased, crc, value) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
  appended_ms = excluded.appended_ms, present = excluded.present, erased = excluded.erased, crc = excluded.crc,
  value = excluded.value
"""
_UNWRITABLE: Final = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """What a file holds: all records of the partition below `next_offset`, and perhaps some later ones.

    version: of the profiles' schema. made: the topic's making. partitions: among which keys were divided. boot: the
    machine's boot id. at_ms: when this was so, by the clock.
    """

    version: int
    made: int
    partitions: int
    boot: str
    next_offset: int = 0
    at_ms: int = 0


class Row(NamedTuple):
    """A profile as it is stored. appended_ms: append time of the viewer's last event. present: in a room."""

    key: bytes
    appended_ms: int
    present: bool
    erased: bool
    value: bytes

    @property
    def columns(self) -> tuple[bytes, int, bool, bool, int, bytes]:
        return self.key, self.appended_ms, self.present, self.erased, zlib.crc32(self.value), self.value


class Silent(NamedTuple):
    """A stored profile of a viewer in no room, without its value. id: of its row."""

    id: int
    key: bytes
    appended_ms: int
    erased: bool


class ProfileStore:
    """One file. For one thread, but for `read`, which any thread may call."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Opens the file, or makes it. most_bytes: of the file; then it counts as full.

        Raises StoreDamaged, StoreUnwritable.
        """
        self.path = path
        self.is_damaged = False
        path.touch(mode=0o600)  # profiles are personal data; the files beside it get the same mode
        self._lock = threading.Lock()  # of the connection that reads
        with self._errors():
            self._writer, self._reader = _Connection(path), _Connection(path)
        try:
            with self._errors():
                self._begin(most_bytes)
        except BaseException:
            self.close()
            raise

    def _begin(self, most_bytes: int) -> None:
        self._writer.run(f"PRAGMA page_size = {PAGE_BYTES}")
        self._writer.run("PRAGMA journal_mode = WAL")
        self._writer.run("PRAGMA synchronous = OFF")
        self._writer.run("PRAGMA secure_delete = ON")  # what is replaced or deleted is overwritten with zeros
        self._writer.run(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        self._writer.run(f"PRAGMA max_page_count = {max(16, most_bytes // PAGE_BYTES)}")
        for connection in (self._writer, self._reader):
            connection.run(f"PRAGMA cache_size = -{CACHE_KB}")
        self._reader.run("PRAGMA query_only = ON")
        if not self._writer.rows("SELECT 1 FROM sqlite_master LIMIT 1"):
            self._writer.script(_SCHEMA)

    def limit(self, most_bytes: int) -> None:
        """Sets the most bytes of the file. One that is larger stays so, and counts as full."""
        with self._errors():
            self._writer.run(f"PRAGMA max_page_count = {max(16, most_bytes // PAGE_BYTES)}")

    def mark(self) -> Mark | None:
        """What the file holds; None where it was never said, or in another format."""
        with self._errors():
            found = self._writer.rows("SELECT * FROM mark")
        if len(found) != 1 or found[0][0] != FORMAT:
            return None
        _, version, made, partitions, boot, next_offset, at_ms = found[0]
        return Mark(version, int(made, 16), partitions, boot, next_offset, at_ms)

    def read(self, key: bytes) -> bytes | None:
        """A profile. Raises StoreDamaged."""
        with self._lock, self._errors(reads=True):
            found = self._reader.rows("SELECT crc, value FROM profile WHERE key = ?", (key,))
        if not found:
            return None
        crc, value = found[0]
        if not isinstance(value, bytes) or zlib.crc32(value) != crc:
            self.is_damaged = True
            raise StoreDamaged(f"{self.path}: a profile in it is not as it was written")
        return value

    def write(self, rows: Sequence[Row], gone: Sequence[bytes] = (), mark: Mark | None = None) -> int:
        """Writes profiles, deletes others, and says what the file holds: all of it or nothing.

        Returns how many profiles more there are. Raises StoreUnwritable (the disk is full, or the file has its most
        bytes), StoreDamaged.
        """
        last, more = "SELECT ifnull(max(id), 0) FROM profile", 0
        with self._errors(), self._writer.transaction():
            if rows:
                before = self._writer.rows(last)[0][0]
                self._writer.many(_PUT, [row.columns for row in rows])
                more = self._writer.rows(last)[0][0] - before
            if gone:
                more -= self._writer.many("DELETE FROM profile WHERE key = ?", [(key,) for key in gone])
            if mark is not None:
                self._writer.run("DELETE FROM mark")
                values = (mark.version, f"{mark.made:x}", mark.partitions, mark.boot, mark.next_offset, mark.at_ms)
                self._writer.run("INSERT INTO mark VALUES (?, ?, ?, ?, ?, ?, ?)", (FORMAT, *values))
        return more

    def leave_no_trace(self) -> bool:
        """Moves all that was written to the file itself, and empties the write-ahead log. False: a reader was in it.

        After it, what was deleted or replaced is in neither of them. The file system may keep freed blocks.
        """
        with self._lock, self._errors():
            (busy, _, _) = self._writer.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        return not busy

    def count(self) -> int:
        """The number of profiles."""
        with self._errors(reads=True):
            return int(self._writer.rows("SELECT count(*) FROM profile")[0][0])

    def present(self) -> Sequence[bytes]:
        """The keys of viewers who are in a room."""
        with self._errors(reads=True):
            return [key for (key,) in self._writer.rows("SELECT key FROM profile WHERE present")]

    def after(self, row_id: int, most: int) -> tuple[int, Sequence[Silent]]:
        """Looks at the next `most` rows; returns the last one's id, 0 at the end, and those of viewers in no room.

        row_id: 0 for the first.
        """
        with self._errors(reads=True):
            sql = "SELECT id, key, appended_ms, erased, present FROM profile WHERE id > ? ORDER BY id LIMIT ?"
            found = self._writer.rows(sql, (row_id, most))
        return found[-1][0] if found else 0, [
            Silent(one, key, at_ms, bool(erased)) for one, key, at_ms, erased, present in found if not present
        ]

    def size_bytes(self) -> int:
        """Bytes of the file and of its write-ahead log."""
        return sum(place.stat().st_size for place in self.places() if place.exists())

    def places(self) -> Sequence[Path]:
        """The file, and those beside it."""
        return places_of(self.path)

    @contextlib.contextmanager
    def _errors(self, *, reads: bool = False) -> Iterator[None]:
        """Raises SQLite's errors as ours. reads: whether it only reads, so that no failure is for lack of room."""
        try:
            yield
        except sqlite3.Error as err:
            code = getattr(err, "sqlite_errorcode", 0) & 0xFF  # without the extended part
            if code in _UNWRITABLE and not reads:
                raise StoreUnwritable(f"{self.path}: {err}") from err
            self.is_damaged = True
            raise StoreDamaged(f"{self.path}: {err}") from err

    def close(self) -> None:
        """Closes the file; it stays."""
        with self._lock:
            self._reader.close()
            self._writer.close()


def places_of(path: Path) -> Sequence[Path]:
    """The files that SQLite has for a store."""
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


class _Connection:
    """A connection to the file, which ends every statement that it begins."""

    def __init__(self, path: Path) -> None:
        self._sql = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        self._sql.execute(sql, values).close()

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        return self._sql.executemany(sql, rows).rowcount

    def script(self, sql: str) -> None:
        self._sql.executescript(sql).close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._sql.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself after some failures
                self.run("ROLLBACK")
            raise

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # of a damaged file nothing is wanted any more
            self._sql.close()
