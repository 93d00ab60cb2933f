"""Reads the archive: its files, and every record of a topic once. Never writes and never asks the log."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from streaming.archive import parquet
from streaming.archive.file import ArchiveFile, by_partition, hour_of, parse_path
from streaming.archive.store import Store, open_store
from streaming.archive.topic_lives import is_life_file
from streaming.errors import ArchiveError, BadArchiveFile, RecordError
from streaming.log.codec import Decoder
from streaming.log.log import Partition
from streaming.log.misplaced_records import is_copy
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

LISTINGS = 10  # at most, until two agree; files change a few times a minute


class ArchivedRecord(NamedTuple):
    """A record of the log, decoded. timestamp_ms: append time; record: a type of its topic, None for a tombstone."""

    timestamp_ms: int
    partition: int
    offset: int
    key: bytes | None
    record: Any


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A range of append times: from_ms ≤ timestamp < until_ms; None: no bound."""

    from_ms: int | None = None
    until_ms: int | None = None

    def touches(self, file: ArchiveFile) -> bool:
        """Whether a file may hold a record of the range."""
        starts_before = self.until_ms is None or file.hour <= hour_of(self.until_ms - 1)
        return starts_before and (self.from_ms is None or file.hour >= hour_of(self.from_ms))

    def of(self, batch: Any) -> Any:
        """The records of a batch that are in the range."""
        if self.from_ms is None and self.until_ms is None:
            return batch
        times = batch.column("timestamp").cast(pa.int64()).to_numpy()
        wanted = np.ones(len(times), bool)
        if self.from_ms is not None:
            wanted &= times >= self.from_ms
        if self.until_ms is not None:
            wanted &= times < self.until_ms
        return batch if wanted.all() else batch.filter(pa.array(wanted))


class Archive:
    """Reader of an archive. It needs no lock: writers add whole files, and replace small ones by merged ones.

    A file that is damaged or foreign is skipped, named in `skipped` and in the log, and counted. For one thread.
    """

    def __init__(self, place: str | Store, metrics: Metrics | None = None) -> None:
        """place: a URI, or an open store. Raises ArchiveError."""
        self.store = open_store(place) if isinstance(place, str) else place
        self.skipped: dict[str, str] = {}  # path → reason, of every skipped file that this reader has met
        self._metrics = metrics

    def files(self, topic: str | None = None) -> list[ArchiveFile]:
        """Lists the files of one topic or all, from their names. Raises ArchiveError.

        Listings repeat until two agree: one taken during a merge may miss both the small files and the merged one.
        """
        under = "" if topic is None else f"topic={topic}"
        found = self._listed(under)
        for _ in range(LISTINGS):
            before, found = found, self._listed(under)
            if found == before:
                break
        return sorted(found, key=lambda file: (file.partition, file.first, -file.last))

    def positions(self) -> dict[Partition, int]:
        """The next offset of each partition, after its newest whole file. Raises ArchiveError."""
        found: dict[Partition, int] = {}
        for partition, files in by_partition(self.files()).items():
            for file in sorted(files, key=lambda one: one.last, reverse=True):
                if self.is_whole(file):
                    found[partition] = file.last + 1
                    break
        return found

    def is_whole(self, file: ArchiveFile) -> bool:
        """Whether a file can be read, by its footer; if not, it is noted as skipped."""
        return self.num_rows(file) is not None

    def num_rows(self, file: ArchiveFile) -> int | None:
        """Number of a file's records; None where it cannot be read, or is gone."""
        try:
            return parquet.num_rows(self.store, file)
        except BadArchiveFile as err:
            self._skip(file.path, err)
        except FileNotFoundError:
            pass
        return None

    def read(self, topic: str, from_ms: int | None = None, until_ms: int | None = None) -> Iterator[Any]:
        """Reads batches (`parquet.SCHEMA`) by partition and offset, each record once, whatever files overlap.

        from_ms, until_ms: of append time, the first in, the last out. Raises ArchiveError.
        """
        for partition in by_partition(self.files(topic)):
            yield from self.read_partition(partition, TimeRange(from_ms, until_ms))

    def read_partition(
        self, partition: Partition, span: TimeRange, only: Sequence[ArchiveFile] | None = None
    ) -> Iterator[Any]:
        """`read` for one partition. only: reads these files; raises FileNotFoundError where one is gone meanwhile."""
        reached, lost = -1, True  # `reached`: the last offset that was given, or skipped as outside the span
        while lost:
            files = list(only) if only is not None else by_partition(self.files(partition.topic)).get(partition, [])
            lost = False
            for file in files:
                if file.last <= reached or not span.touches(file):
                    continue
                try:
                    for batch in parquet.batches_of(self.store, file):
                        fresh = _after(batch, reached)
                        reached = max(reached, batch.column("offset")[-1].as_py())
                        wanted = span.of(fresh)
                        if len(wanted):
                            yield wanted
                except BadArchiveFile as err:
                    self._skip(file.path, err)
                except FileNotFoundError:
                    if only is not None:
                        raise
                    lost = True  # merged with others, or deleted: list again
                    break

    def records(
        self,
        topic: str,
        from_ms: int | None = None,
        until_ms: int | None = None,
        refused: Callable[[ArchivedRecord, RecordError], None] | None = None,
    ) -> Iterator[ArchivedRecord]:
        """Reads decoded records of all partitions, merged by (timestamp, partition, offset), each once.

        Within a partition the order is that of offsets, whatever a broker's clock did. A value that is no record goes
        to `refused` (with its bytes as `record`), is counted, and is left out. Forwarded copies are left out too: the
        original lies in another partition. Raises ArchiveError.
        """
        decode, span = Decoder(topic), TimeRange(from_ms, until_ms)
        streams = [_ordered(self.read_partition(partition, span)) for partition in by_partition(self.files(topic))]
        for _, partition, offset, timestamp_ms, key, value in heapq.merge(*streams):
            if is_copy(value):
                continue
            try:
                record = None if value is None else decode(value)
            except RecordError as err:
                if self._metrics is not None:
                    self._metrics.count("undecodable_total", topic=topic)
                if refused is not None:
                    refused(ArchivedRecord(timestamp_ms, partition, offset, key, value), err)
                continue
            yield ArchivedRecord(timestamp_ms, partition, offset, key, record)

    def _listed(self, under: str) -> set[ArchiveFile]:
        found: set[ArchiveFile] = set()
        for entry in self.store.list(under):
            file = parse_path(entry.path, entry.num_bytes)
            if file is None and is_life_file(entry.path):
                continue
            if file is None:
                self._skip(entry.path, BadArchiveFile(f"{entry.path}: not a name that the archive gives"))
            else:
                found.add(file)
        return found

    def _skip(self, path: str, reason: ArchiveError) -> None:
        if path in self.skipped:
            return
        self.skipped[path] = str(reason)
        LOGGER.warning("archive %s: skipped %s", self.store.masked_uri, reason)
        if self._metrics is not None:
            self._metrics.count("archive_files_skipped_total")


def _after(batch: Any, reached: int) -> Any:
    """The records of a batch whose offsets are larger than `reached`."""
    offsets = batch.column("offset").to_numpy()
    return batch.slice(int(np.searchsorted(offsets, reached, side="right")))


def _ordered(batches: Iterator[Any]) -> Iterator[tuple[int, int, int, int, bytes | None, bytes | None]]:
    """Gives records of one partition as (merge time, partition, offset, timestamp, key, value).

    The merge time never falls, because a leader with a slow clock must not reorder a partition.
    """
    latest_ms = 0
    for batch in batches:
        columns = [batch.column("timestamp").cast(pa.int64()), *(batch.column(n) for n in ("offset", "key", "value"))]
        partition = batch.column("partition")[0].as_py()
        for timestamp_ms, offset, key, value in zip(*(column.to_pylist() for column in columns), strict=True):
            latest_ms = max(latest_ms, timestamp_ms)
            yield latest_ms, partition, offset, timestamp_ms, key, value
