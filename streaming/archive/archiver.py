"""Owns the Archiver: every topic → Parquet, each record exactly once. Never commits an offset and never decodes.

Where to go on is read from the files themselves, so a file and the position after it are there at one moment or not at
all. Partitions are assigned exactly. Two Archivers of one archive write the same records into overlapping files: work
done twice, and readers give each record once all the same.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from streaming.archive.config import ArchiveConfig
from streaming.archive.parquet import save, table_of
from streaming.archive.pending import Pending
from streaming.archive.reader import Archive
from streaming.archive.upkeep import SETTLED_MS, Step, compact, prune
from streaming.clock import Clock
from streaming.errors import ArchiveError, LogUnavailable
from streaming.log import Batch, Log, Partition, Source
from streaming.metrics import Metrics
from streaming.topics import HOUR_MS, TOPICS

LOGGER = logging.getLogger(__name__)

POLL_S = 0.2
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0  # a full disk stays full for a while; a broker is back sooner, and is asked again then
RATE_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class ArchiverStatus:
    """An Archiver a moment ago. refused: partitions whose archive is ahead of the log, which are left alone."""

    records: int = 0  # written since the start
    files: int = 0
    written_mb: float = 0.0
    waiting: int = 0
    lag: Mapping[str, int] = field(default_factory=dict)
    records_per_s: float = 0.0  # read
    failures: int = 0
    refused: tuple[str, ...] = ()
    contact_age_s: float = 0.0


class Archiver:
    """Reads every topic and writes files. `run` is for one thread; `status` for any."""

    def __init__(
        self, log: Log, config: ArchiveConfig, metrics: Metrics, clock: Clock, *, archive: Archive | None = None
    ) -> None:
        """archive: one that is open already, for tests. Raises ArchiveError: see `open_store`."""
        self._log = log
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._archive = archive or Archive(config.uri, metrics)
        self._pending = Pending()
        self._status = ArchiverStatus()
        self._records = self._files = self._bytes = self._failures = 0
        self._read, self._rate, self._since_s = 0, 0.0, clock.monotonic_s()
        self._upkeep: Iterator[Step] = iter(())
        self._kept_hour = -1  # the hour in which upkeep was begun last

    def status(self) -> ArchiverStatus:
        """About a second old at most."""
        return self._status

    def run(self, stop: threading.Event) -> None:
        """Archives until told to stop, then writes what it has. What fails is tried again, from the files.

        Raises TopicMissing.
        """
        backoff_s = FIRST_BACKOFF_S
        while not stop.is_set():
            files = self._files
            try:
                self._session(stop, lambda _source, _positions: False)
            except (LogUnavailable, ArchiveError) as err:
                if self._files > files:
                    backoff_s = FIRST_BACKOFF_S
                self._failures += 1
                self._metrics.count("archive_failures_total")
                LOGGER.warning("archiver: %s; tries again in %.1f s", err, backoff_s)
                stop.wait(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    def run_once(self, stop: threading.Event, *, until_end: bool = True) -> None:
        """As `run`, but the first failure is raised: ArchiveError, LogError. until_end: ends where the log ends now."""
        ends: dict[Partition, int] = {}

        def done(source: Source, positions: Mapping[Partition, int]) -> bool:
            if not ends:
                ends.update(self._log.ends(list(positions)))
            lag = source.lag()
            return all(positions[one] >= end or lag.get(one) == 0 for one, end in ends.items())

        self._session(stop, done if until_end else lambda _source, _positions: False)

    def _session(self, stop: threading.Event, done: Callable[[Source, Mapping[Partition, int]], bool]) -> None:
        self._pending = Pending()
        self._archive.store.prepare()
        positions = self._starts()
        if not positions:
            return
        source = self._log.reader(list(positions), dict(positions))
        try:
            while not stop.is_set() and not done(source, positions):
                batch = source.poll(POLL_S)
                self._keep(batch, positions)
                self._write_due()
                self._look_after()
                self._measure(source)
            self._write(self._pending.partitions())
            self._measure(source)
        finally:
            source.close()

    def _starts(self) -> dict[Partition, int]:
        """Where each partition goes on. One whose archive ends behind the log's end is refused.

        The topic was made anew: its offsets mean other records now. To mix the two would lose one of them.
        """
        partitions = [partition for topic in TOPICS for partition in self._log.partitions(topic)]
        ends, known = self._log.ends(partitions), self._archive.positions()
        refused = tuple(f"{p.topic}-{p.index}" for p in partitions if known.get(p, 0) > ends[p])
        if refused:
            LOGGER.error(
                "archiver: the archive %s is ahead of the log in %s: these topics were made anew, or this is another "
                "cluster's archive. They are not archived; give them an archive.uri of their own",
                *(self._config.uri, ", ".join(refused)),
            )
        self._status = ArchiverStatus(refused=refused)
        return {p: known.get(p, 0) for p in partitions if known.get(p, 0) <= ends[p]}

    def _keep(self, batch: Batch, positions: dict[Partition, int]) -> None:
        now_s = self._clock.monotonic_s()
        for partition, records in batch.records.items():
            self._pending.add(partition, records, now_s)
            positions[partition] = records[-1].offset + 1
            self._metrics.count("records_read_total", len(records), topic=partition.topic)
        self._read += len(batch)

    def _write_due(self) -> None:
        config = self._config
        self._write(
            self._pending.due(
                self._clock.monotonic_s(),
                age_s=config.flush_s,
                rows=config.flush_rows,
                most_bytes=config.flush_mb << 20,
            )
        )

    def _write(self, partitions: list[Partition]) -> None:
        for partition in partitions:
            for run in self._pending.take(partition):
                written = save(self._archive.store, run.file, table_of(run.records))
                self._records += len(run.records)
                self._files += 1
                self._bytes += written.num_bytes
                self._metrics.count("archive_records_total", len(run.records), topic=partition.topic)
                self._metrics.count("archive_bytes_total", written.num_bytes, topic=partition.topic)
                self._metrics.count("archive_files_total", action="written")
                LOGGER.info("archiver: wrote %s, %d records", written.path, len(run.records))

    def _look_after(self) -> None:
        """One step of upkeep a turn, so that reading goes on; begun anew once an hour."""
        now_ms = self._clock.now_ms()
        hour = (now_ms - SETTLED_MS) // HOUR_MS
        if hour != self._kept_hour:
            self._kept_hour = hour
            self._upkeep = self._steps(now_ms)
        if (step := next(self._upkeep, None)) is not None:
            LOGGER.info("archiver: %s %d files: %s", step.action, step.num_files, step.file.path)

    def _steps(self, now_ms: int) -> Iterator[Step]:
        yield from prune(self._archive, self._config, now_ms, self._metrics)
        if self._config.compact:
            yield from compact(self._archive, self._config, now_ms, self._metrics)

    def _measure(self, source: Source) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._since_s >= RATE_WINDOW_S:
            self._rate = self._read / (now_s - self._since_s)
            self._since_s, self._read = now_s, 0
        lag: dict[str, int] = {}
        for partition, records in source.lag().items():
            lag[partition.topic] = lag.get(partition.topic, 0) + records
        for topic, records in lag.items():
            self._metrics.gauge("lag_records", records, reader="archiver", topic=topic)
        self._metrics.gauge("archive_waiting_records", self._pending.num_records)
        contact_s = source.contact_age_s()
        self._metrics.gauge("log_contact_age_seconds", contact_s, reader="archiver")
        self._status = ArchiverStatus(
            records=self._records,
            files=self._files,
            written_mb=round(self._bytes / 1e6, 1),
            waiting=self._pending.num_records,
            lag=lag,
            records_per_s=round(self._rate, 1),
            failures=self._failures,
            refused=self._status.refused,
            contact_age_s=round(contact_s, 1),
        )
