"""One consumer's partitions that cannot be read: the causes, the retries, and the skipped offsets.

Never unpacks a record. A partition that cannot be read is paused, so that the others go on, and is retried. Its
position stays until something behind the trouble was read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from kafka import TopicPartition
from kafka.errors import KafkaError

from streaming.broker.batches import BadBatch
from streaming.broker.ends import ask_for_ends, ends_of
from streaming.broker.fetched import KnownOfPartitions
from streaming.broker.probe import Probe
from streaming.troubles import Kind, Skipped, Trouble

RETRY_S: Final = 3.0  # a replica may have it, a codec may be installed: a fetch costs up to 4 MiB
LOOK_S: Final = 1.0
STILL_S: Final = 10.0  # a partition that gives nothing for so long although it has more is reported
CORRUPT_MESSAGE: Final = 2  # a broker's error where it finds the damage itself
PACKED_WRONG: Final = (
    "Nothing is read from there on. Have its producers use compression.type none, gzip, snappy, lz4 or zstd. It is "
    "tried again every few seconds, so a package that is missing may be installed meanwhile"
)
DAMAGED: Final = (
    "Nothing is read from there on. Where Kafka has a good replica, make its broker the leader; otherwise "
    "log.skip_damaged = true goes on behind it and writes the lost offsets to dead-letter"
)
DELETED: Final = "Kafka deleted them (retention.ms, retention.bytes, kafka-delete-records) before they were read"

Holder = Callable[[TopicPartition, int], str]  # describes whose transaction is open since an offset


class Standstills:
    """Partitions of one KafkaConsumer that cannot be read. For the polling thread; `hear` is for the client's.

    ends: each partition's last stable offset, kept by the source.
    """

    def __init__(
        self,
        consumer: Any,
        prefix: str,
        ends: MutableMapping[TopicPartition, int],
        *,
        skip_damaged: bool,
        holder: Holder,
    ) -> None:
        self._consumer = consumer
        self._prefix = prefix
        self._ends = ends
        self._skip_damaged = skip_damaged
        self._holder = holder
        self._probe = Probe(consumer)
        self._stopped: dict[TopicPartition, Trouble] = {}
        self._retry_s: dict[TopicPartition, float] = {}
        self._held: dict[TopicPartition, Trouble] = {}
        self._still: dict[TopicPartition, tuple[int, float]] = {}  # position, and its time
        self._refused: dict[TopicPartition, tuple[int, str]] = {}  # offset and reason; set by the client's thread
        self._skipped: list[Skipped] = []
        self._early: dict[TopicPartition, int] = {}  # offset of the last batch that went past the log's end
        self._looked_s = 0.0
        self._highs: dict[TopicPartition, int] = {}  # high watermarks: no record at or behind one is visible
        self._bad: dict[tuple[TopicPartition, int], tuple[int, int]] = {}
        self.known = KnownOfPartitions(self._highs, self._bad, self.skip if skip_damaged else None)

    def troubles(self) -> Sequence[Trouble]:
        """The partitions that stand still now, with the reasons."""
        found = [*self._stopped.values(), *self._held.values()]
        return sorted(found, key=lambda trouble: (trouble.topic, trouble.partition))

    def held(self) -> list[TopicPartition]:
        """Partitions with records behind the last stable offset."""
        return [there for there, high in list(self._highs.items()) if high > self._ends.get(there, high)]

    def take_skipped(self) -> tuple[Skipped, ...]:
        """Returns the offsets skipped since the last call."""
        skipped, self._skipped = self._skipped, []
        return tuple(skipped)

    def hear(self, partition: Any, there: TopicPartition, offset: int) -> None:
        """Notes a broker's answer for a partition; removes an error that kafka-python would raise at every poll."""
        if partition.high_watermark >= 0:
            self._highs[there] = partition.high_watermark
        if partition.error_code == CORRUPT_MESSAGE:
            partition.error_code = 0
            self._refuse(partition, there, offset, "the broker finds a damaged batch")
        elif partition.records and (why := _cut_off(partition.records)):
            self._refuse(partition, there, offset, why)

    def _refuse(self, partition: Any, there: TopicPartition, offset: int, why: str) -> None:
        partition.records = b""
        self._refused[there] = offset, why

    def begin_poll(self) -> None:
        """Resumes partitions whose retry is due, and stops those that a broker has refused."""
        now_s = time.monotonic()
        for there in [one for one, at_s in self._retry_s.items() if at_s <= now_s]:
            del self._retry_s[there]
            self._paused(there, False)
        while self._refused:
            there, (offset, why) = self._refused.popitem()
            if self._position(there) == offset:  # else the answer is to an earlier fetch
                self.stop(BadBatch(there, offset, "damaged", why))

    def end_poll(self) -> None:
        """Drops troubles that are over, and once a second looks for partitions that stand still without an error."""
        for there, trouble in list(self._stopped.items()):
            position = self._position(there)
            if position is None or position > trouble.offset:
                del self._stopped[there]
                self._bad.pop((there, trouble.offset), None)
                self._retry_s.pop(there, None)
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look(now_s)

    def stop(self, bad: BadBatch) -> None:
        """Stops a partition before a bad batch, or skips the batch where that is allowed and possible.

        A batch that is early has no effect the first time: the next poll fetches it again.
        """
        if bad.early and self._early.get(bad.there) != bad.offset:
            self._early[bad.there] = bad.offset
            return
        if bad.kind == "damaged" and self._skip_damaged:
            with contextlib.suppress(KafkaError):  # the last known ends stay
                self._note_ends(ends_of(self._consumer, [bad.there], timeout_ms=2_000))
            if self._passes_over(bad):
                return
        else:
            ask_for_ends(self._consumer, [bad.there], self._note_ends)
        if bad.kind == "damaged":
            first, _ = self._bad.get((bad.there, bad.offset), (bad.offset if bad.begins else 0, 0))
            self._bad[bad.there, bad.offset] = first, bad.offset
        self._stopped[bad.there] = self._trouble(bad.there, bad.offset, bad.kind, bad.why)
        self._retry_s[bad.there] = time.monotonic() + RETRY_S
        self._paused(bad.there, True)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Drops all knowledge of partitions that begin anew."""
        for there in set(partitions):
            for known in (self._held, self._still, self._highs, self._refused, self._early):
                known.pop(there, None)
            if self._retry_s.pop(there, None) is not None:
                self._paused(there, False)
            if (trouble := self._stopped.pop(there, None)) is not None:
                self._bad.pop((there, trouble.offset), None)

    def skip(self, there: TopicPartition, first: int, last: int, why: str) -> None:
        """Notes offsets that are skipped because they are damaged."""
        self._skipped.append(Skipped(there.topic[len(self._prefix) :], there.partition, first, last, why))

    def note_deleted(self, there: TopicPartition, first: int, last: int) -> None:
        """Notes offsets that the log deleted before they were read."""
        topic = there.topic[len(self._prefix) :]
        self._skipped.append(Skipped(topic, there.partition, first, last, DELETED, "deleted"))

    def _note_ends(self, ends: Mapping[TopicPartition, int]) -> None:
        """Takes requested ends, so that lag grows also where a broker answers fetches with errors, without ends."""
        self._ends.update(ends)
        self._highs.update({there: max(end, self._highs.get(there, 0)) for there, end in ends.items()})

    def _passes_over(self, bad: BadBatch) -> bool:
        high, end = self._highs.get(bad.there), self._ends.get(bad.there)
        if high is None or end is None or self._position(bad.there) is None:
            return False
        good = self._probe.next_good(bad.there, bad.offset, end, high)
        if good is None or good <= bad.offset:
            return False
        with contextlib.suppress(ValueError):  # just revoked: another member reads it
            self._consumer.seek(bad.there, good)
            self.skip(bad.there, bad.offset, good - 1, bad.why)
        return True

    def _look(self, now_s: float) -> None:
        assignment = dict(self._consumer._subscription.assignment)
        for there in self._held.keys() - assignment.keys():
            del self._held[there]
        self._still = {there: self._still.get(there, (-1, now_s)) for there in assignment}
        for there, (before, since_s) in self._still.items():
            position, end = self._position(there), self._ends.get(there)
            if position is None or end is None:
                continue
            if position != before:
                self._still[there] = position, now_s
            if self._held.get(there) is not None and (position != before or self._highs.get(there, end) <= end):
                del self._held[there]
            elif position == before and now_s - since_s >= STILL_S and there not in self._retry_s:
                self._look_at(there, position, end)

    def _look_at(self, there: TopicPartition, position: int, end: int) -> None:
        """Examines a partition whose position has not moved for STILL_S: it may be held, damaged, or at its end."""
        high = self._highs.get(there, end)
        if position >= end:
            if high > end and there not in self._held:
                self._held[there] = self._trouble(there, position, "held", self._holder(there, position))
            return
        found = self._probe.at(there, position, high)
        if found.good is None and not found.mends:
            self.stop(BadBatch(there, position, "damaged", found.why))
        self._still[there] = position, time.monotonic()

    def _trouble(self, there: TopicPartition, offset: int, kind: Kind, why: str) -> Trouble:
        advice = {"codec": PACKED_WRONG, "damaged": DAMAGED}.get(kind, "")
        message = f"offset {offset}: {why}. {advice}" if advice else f"offset {offset}: {why}"
        return Trouble(there.topic[len(self._prefix) :], there.partition, offset, kind, message)

    def _position(self, there: TopicPartition) -> int | None:
        state = self._consumer._subscription.assignment.get(there)
        return None if state is None or state.position is None else int(state.position.offset)

    def _paused(self, there: TopicPartition, paused: bool) -> None:
        with contextlib.suppress(KeyError):  # no longer ours
            (self._consumer.pause if paused else self._consumer.resume)(there)


def _cut_off(data: bytes) -> str:
    """The fault at the beginning of an answer, "" if none: a broker sends at least one whole batch."""
    size = 12 + int.from_bytes(data[8:12], "big", signed=True) if len(data) >= 12 else len(data) + 1
    if 0 < size <= len(data):
        return ""
    return f"a batch says that it is {size} bytes long, and the broker gives {len(data)}"
