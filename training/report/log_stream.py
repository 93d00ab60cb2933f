"""The event stream of the log itself: impressions and viewers' events, for installations without an archive.

Never commits a position.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

from streaming.errors import LogUnavailable, RecordError
from streaming.log.codec import Decoder
from streaming.log.log import Log, Partition, Record
from streaming.log.misplaced_records import is_copy
from streaming.log.topics import IMPRESSIONS, VIEWER_EVENTS
from training.examples.event_stream import StreamRecord

JOINED = (IMPRESSIONS, VIEWER_EVENTS)  # records of one millisecond come in this order
POLL_S = 0.2
SILENCE_S = 10.0  # without a broker's answer


def from_log(log: Log, report: Callable[[str], None], from_ms: int | None = None) -> Iterator[StreamRecord]:
    """The stream of what is on the topics `impressions` and `viewer-events` now, in the order of append times.

    from_ms: of append time. report: receives in words what cannot be read; the rest goes on. Raises LogUnavailable,
    TopicMissing.
    """
    partitions = [partition for topic in JOINED for partition in log.partitions(topic)]
    ends = log.ends(partitions)
    source = log.reader(partitions)
    merged = _Merged(ends, report, from_ms)
    try:
        while not merged.is_over:
            batch = source.poll(POLL_S)
            for trouble in source.troubles():
                if trouble.unreadable:
                    merged.give_up(Partition(trouble.topic, trouble.partition), trouble.message)
            for one in batch.skipped:
                report(f"{one.topic} partition {one.partition}: offsets {one.first} to {one.last} are lost: {one.why}")
            for partition, records in batch.records.items():
                merged.add(partition, records)
            lag = source.lag()
            merged.finish([partition for partition in partitions if lag.get(partition) == 0])
            yield from merged.ready()
            if source.contact_age_s() > SILENCE_S:
                raise LogUnavailable("no broker answers while the log is read")
        yield from merged.ready()
    finally:
        source.close()


class _Merged:
    """Records of several partitions in the order of their times, once no partition can have an earlier one."""

    def __init__(self, ends: Mapping[Partition, int], report: Callable[[str], None], from_ms: int | None) -> None:
        self._ends = dict(ends)
        self._report = report
        self._from_ms = from_ms or 0
        self._open = {partition for partition, end in self._ends.items() if end}
        self._waiting: dict[Partition, deque[StreamRecord]] = {partition: deque() for partition in self._ends}
        self._decode = {topic: Decoder(topic) for topic in JOINED}
        self._unreadable: dict[str, int] = {}
        self._latest_ms = 0

    @property
    def is_over(self) -> bool:
        """Whether every partition was read to where it ended at the beginning."""
        return not self._open

    def add(self, partition: Partition, records: Sequence[Record]) -> None:
        """Takes records of a partition, in the order of their offsets."""
        end = self._ends[partition]
        for record in records:
            if record.offset < end and record.timestamp >= self._from_ms:
                self._take(partition, record)
            if record.offset >= end - 1:
                self._open.discard(partition)

    def finish(self, partitions: Sequence[Partition]) -> None:
        """Notes that there is no more in these: markers of transactions may end a partition."""
        self._open -= set(partitions)

    def give_up(self, partition: Partition, why: str) -> None:
        """Goes on without the rest of a partition."""
        if partition in self._open:
            self._open.discard(partition)
            self._report(f"{partition.topic} partition {partition.index}: {why}")

    def ready(self) -> Iterator[StreamRecord]:
        """The records that can be given now."""
        while all(self._waiting[partition] for partition in self._open):
            first = min(
                (waiting for waiting in self._waiting.values() if waiting),
                key=lambda waiting: _order(waiting[0]),
                default=None,
            )
            if first is None:
                return
            record = first.popleft()
            self._latest_ms = max(self._latest_ms, record.at_ms)
            yield record._replace(at_ms=self._latest_ms)

    def _take(self, partition: Partition, record: Record) -> None:
        if record.value is None or is_copy(record.value):
            return
        try:
            found = self._decode[partition.topic](record.value)
        except RecordError as err:
            count = self._unreadable[partition.topic] = self._unreadable.get(partition.topic, 0) + 1
            if count == 1:  # `tidecast letters` has each
                self._report(f"{partition.topic}: a record at offset {record.offset} cannot be read: {err}")
            return
        self._waiting[partition].append(StreamRecord(record.timestamp, partition.topic, record.offset, found))


def _order(record: StreamRecord) -> tuple[int, int]:
    return record.at_ms, JOINED.index(record.topic)
