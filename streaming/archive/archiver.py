"""The Archiver: copies every topic to Parquet, each record exactly once. Never commits an offset and never decodes.

Its positions follow from the files themselves, so a file and the position after it appear at the same moment. It reads
exact partitions, without a group. Two Archivers of one archive write the same records into overlapping files: that is
double work, but readers still give each record once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from streaming.archive.config import ArchiveConfig
from streaming.archive.parquet import save, table_of
from streaming.archive.pending import Pending
from streaming.archive.reader import Archive
from streaming.archive.topic_lives import ArchivedLives
from streaming.archive.upkeep import SETTLED_MS, Eraser, Step, compact, prune
from streaming.clock import Clock
from streaming.errors import ArchiveError, LogUnavailable, TopicMissing, Unreadable
from streaming.log.log import Batch, Log, Partition, Source, TopicShape
from streaming.log.topics import ARCHIVED, HOUR_MS
from streaming.masked_uri import masked_uri
from streaming.metrics import Metrics
from streaming.troubles import Trouble, Troubles

LOGGER = logging.getLogger(__name__)

POLL_S = 0.2
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0  # a full disk stays full for a while
RATE_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class ArchiverStatus:
    """Status of an Archiver. anew: topics that were made anew, and continue in the archive after their old records."""

    records: int = 0  # written since the start
    files: int = 0
    written_mb: float = 0.0
    waiting: int = 0
    lag: Mapping[str, int] = field(default_factory=dict)
    records_per_s: float = 0.0  # read
    failures: int = 0
    anew: tuple[str, ...] = ()
    contact_age_s: float = 0.0
    troubles: tuple[Trouble, ...] = ()  # partitions that are not read, and why
    lost: str = ""  # offsets skipped since the start, the last ones of each partition


class Archiver:
    """Reads every topic and writes files. `run` is for one thread; `status` for any."""

    def __init__(
        self, log: Log, config: ArchiveConfig, metrics: Metrics, clock: Clock, *, archive: Archive | None = None
    ) -> None:
        """archive: an open one, for tests. Raises ArchiveError, as `open_store` does."""
        self._log = log
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._archive = archive or Archive(config.uri, metrics)
        self._pending = Pending()
        self._troubles = Troubles("archiver", metrics)
        self._status = ArchiverStatus()
        self._records = self._files = self._bytes = self._failures = 0
        self._read, self._rate, self._since_s = 0, 0.0, clock.monotonic_s()
        self._upkeep: Iterator[Step] = iter(())
        self._eraser = Eraser()
        self._kept_hour = -1  # the hour in which upkeep last began

    def status(self) -> ArchiverStatus:
        """The current status, about a second old at most."""
        return self._status

    def run(self, stop: threading.Event) -> None:
        """Archives until `stop`, then writes the waiting records. After a failure it begins again from the files.

        Raises TopicMissing.
        """
        backoff_s, started = FIRST_BACKOFF_S, False
        while not stop.is_set():
            files = self._files
            try:
                self._session(stop, lambda _source, _positions: False)
                started = True
            except (LogUnavailable, ArchiveError, TopicMissing) as err:
                if isinstance(err, TopicMissing) and not started:
                    raise  # later it is a topic that is being made anew
                if self._files > files:
                    backoff_s = FIRST_BACKOFF_S
                self._failures += 1
                self._metrics.count("archive_failures_total")
                LOGGER.warning("archiver: %s; tries again in %.1f s", err, backoff_s)
                stop.wait(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    def run_once(self, stop: threading.Event, *, until_end: bool = True) -> None:
        """Archives as `run` does, but raises the first failure: ArchiveError, LogError.

        until_end: returns at the log's current end. Then Unreadable is raised, after everything else was written, where
        a partition holds something that cannot be read.
        """
        ends: dict[Partition, int] = {}

        def done(source: Source, positions: Mapping[Partition, int]) -> bool:
            if not ends:
                ends.update(self._log.ends(list(positions)))
            lag = source.lag()
            stopped = {Partition(one.topic, one.partition) for one in source.troubles() if one.unreadable}
            return all(positions[one] >= end or lag.get(one) == 0 or one in stopped for one, end in ends.items())

        while self._session(stop, done if until_end else lambda _source, _positions: False):
            ends.clear()
        if until_end and (unread := [trouble for trouble in self._troubles.now if trouble.unreadable]):
            raise Unreadable(unread[0])

    def _session(self, stop: threading.Event, done: Callable[[Source, Mapping[Partition, int]], bool]) -> bool:
        """Runs one session; returns whether it ended because topics changed shape, which needs another session."""
        self._archive.store.prepare()
        shapes = self._log.shapes(list(ARCHIVED))
        positions, first = self._starts(shapes)
        self._pending = Pending(first)
        source = self._log.reader(list(positions), dict(positions))
        try:
            reshaped = self._log.shapes(list(ARCHIVED)) != shapes  # before the source was open to see it
            while not (stop.is_set() or reshaped or done(source, positions)):
                batch = source.poll(POLL_S)
                reshaped = bool(batch.reshaped)
                self._keep(batch, positions)
                self._write_due()
                self._look_after()
                self._measure(source)
            self._write(self._pending.partitions())
            self._measure(source)
        finally:
            source.close()
        return reshaped

    def _starts(self, shapes: Mapping[str, TopicShape]) -> tuple[dict[Partition, int], dict[Partition, int]]:
        """Each partition's next offset on the log, and the number to add to get the archive's offset.

        A topic that was made anew, or that its broker has lost, continues in the archive after its old records.
        """
        partitions = [Partition(topic, n) for topic, shape in shapes.items() for n in range(shape.partitions)]
        ends, known = self._log.ends(partitions), self._archive.positions()
        makings, first = ArchivedLives(self._archive.store), {}
        anew = list(self._status.anew)
        for topic, shape in shapes.items():
            making, begins = makings.current(topic, shape, known, ends)
            if begins:
                anew.append(topic)
                self._metrics.count("topics_anew_total", reader="archiver", topic=topic)
                LOGGER.warning(
                    "archiver: topic %s was made anew, or its broker has lost it: it is archived from its beginning, "
                    "after what %s has of it. Another cluster's archive needs an archive.uri of its own",
                    *(topic, masked_uri(self._config.uri)),
                )
            first.update({Partition(topic, n): making.first.get(n, 0) for n in range(shape.partitions)})
        self._status = replace(self._status, anew=tuple(anew))
        return {p: max(0, known.get(p, 0) - first[p]) for p in partitions}, first

    def _keep(self, batch: Batch, positions: dict[Partition, int]) -> None:
        now_s = self._clock.monotonic_s()
        for partition, records in batch.records.items():
            self._pending.add(partition, records, now_s)
            positions[partition] = records[-1].offset + 1
            self._metrics.count("records_read_total", len(records), topic=partition.topic)
        for one in batch.skipped:
            place = Partition(one.topic, one.partition)
            positions[place] = max(positions[place], one.last + 1)
        self._troubles.passed_over(batch.skipped)
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
                written = save(self._archive.store, run.file, table_of(run.records, run.first))
                self._records += len(run.records)
                self._files += 1
                self._bytes += written.num_bytes
                self._metrics.count("archive_records_total", len(run.records), topic=partition.topic)
                self._metrics.count("archive_bytes_total", written.num_bytes, topic=partition.topic)
                self._metrics.count("archive_files_total", action="written")
                LOGGER.info("archiver: wrote %s, %d records", written.path, len(run.records))

    def _look_after(self) -> None:
        """Does one step of upkeep per turn, so that reading goes on. Upkeep begins once an hour."""
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
        yield from self._eraser.steps(self._archive, now_ms, self._metrics)

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
        if (troubles := source.troubles()) or self._troubles.now:
            self._troubles.update(troubles)
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
            anew=self._status.anew,
            contact_age_s=round(contact_s, 1),
            troubles=self._troubles.now,
            lost=self._troubles.lost_text,
        )
