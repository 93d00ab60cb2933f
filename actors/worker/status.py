"""A worker's report on itself, and its measurement: lag, contact, rates. Never changes what it measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streaming.clock import Clock
from streaming.log.log import Source
from streaming.metrics import Metrics
from streaming.troubles import Trouble

RATE_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """The state of a worker about a second ago. partitions: indices it owns. lag: records not read yet, by topic."""

    member: str
    partitions: tuple[int, ...] = ()
    lag: Mapping[str, int] | None = None
    contact_age_s: float = 0.0
    records_per_s: float = 0.0
    restarts: int = 0
    troubles: tuple[Trouble, ...] = ()  # partitions that are not read, and why
    standing_by: str = ""  # the host of another process that has this one's name and does its work; "" where none does


class Gauge:
    """Counts the records that a loop reads, and turns them into figures once a second. For the loop's thread."""

    def __init__(self, reader: str, metrics: Metrics, clock: Clock) -> None:
        self._reader = reader
        self._metrics = metrics
        self._clock = clock
        self._since_s = clock.monotonic_s()
        self._records = 0
        self.records_per_s = 0.0
        self.lag: dict[str, int] = {}
        self.unread: dict[int, int] = {}  # by partition, of all topics
        self.contact_age_s = 0.0

    def read(self, topic: str, records: int) -> None:
        """Counts applied records of a topic."""
        self._records += records
        self._metrics.count("records_read_total", records, topic=topic)

    def clear(self) -> None:
        """Sets everything to nothing: the worker reads no topic now."""
        for topic in self.lag:
            self._metrics.gauge("lag_records", 0, reader=self._reader, topic=topic)
        self.lag, self.unread, self.records_per_s = {}, {}, 0.0

    def measure(self, source: Source) -> None:
        """Reads lag and contact from the source, and sets the gauges."""
        now_s = self._clock.monotonic_s()
        if now_s - self._since_s >= RATE_WINDOW_S:
            self.records_per_s = self._records / (now_s - self._since_s)
            self._since_s, self._records = now_s, 0
        lag: dict[str, int] = dict.fromkeys(self.lag, 0)
        unread: dict[int, int] = {}
        for partition, records in source.lag().items():
            lag[partition.topic] = lag.get(partition.topic, 0) + records
            unread[partition.index] = unread.get(partition.index, 0) + records
        self.lag, self.unread = lag, unread
        self.contact_age_s = source.contact_age_s()
        for topic, records in lag.items():
            self._metrics.gauge("lag_records", records, reader=self._reader, topic=topic)
        self._metrics.gauge("log_contact_age_seconds", self.contact_age_s, reader=self._reader)
