"""Owns the partitions of one consumer that are not read: why, when they are tried again, what is passed over.

Never unpacks a record. A partition that cannot be read is paused, so that the others go on, and tried again; its
position stays where it is until something behind the trouble was read.
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

RETRY_S: Final = 3.0  # a replica of the broker may have it, a package may come: a fetch costs up to 4 MiB
LOOK_S: Final = 1.0
STILL_S: Final = 10.0  # a partition that gives nothing for so long although more lies there is said
CORRUPT_MESSAGE: Final = 2  # what a broker answers where it finds the damage itself
PACKED_WRONG: Final = (
    "Nothing is read from there on. Have its producers use compression.type none, gzip, snappy, lz4 or zstd. It is "
    "tried again every few seconds, so a package that is missing may be installed meanwhile"
)
DAMAGED: Final = (
    "Nothing is read from there on. Where Kafka has a good replica, make its broker the leader; otherwise "
    "log.skip_damaged = true goes on behind it and writes the lost offsets to dead-letter"
)
DELETED: Final = "Kafka deleted them (retention.ms, retention.bytes, kafka-delete-records) before they were read"

Holder = Callable[[TopicPartition, int], str]  # whose transaction is open since an offset


class Standstills:
    """What keeps partitions of one KafkaConsumer from being read. For the thread that polls; `hear` for the client's.

    ends: last stable offset of each partition, as the source keeps it.
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
        self._still: dict[TopicPartition, tuple[int, float]] = {}  # position, and since when
        self._refused: dict[TopicPartition, tuple[int, str]] = {}  # offset and why; by the client's thread
        self._skipped: list[Skipped] = []
        self._looked_s = 0.0
        self._highs: dict[TopicPartition, int] = {}  # high watermarks: nothing at or behind one is ever given out
        self._bad: dict[tuple[TopicPartition, int], tuple[int, int]] = {}
        self.known = KnownOfPartitions(self._highs, self._bad, self.skip if skip_damaged else None)

    def troubles(self) -> Sequence[Trouble]:
        """What stands still now, and why."""
        found = [*self._stopped.values(), *self._held.values()]
        return sorted(found, key=lambda trouble: (trouble.topic, trouble.partition))

    def held(self) -> list[TopicPartition]:
        """Partitions whose log goes on behind the last stable offset."""
        return [there for there, high in list(self._highs.items()) if high > self._ends.get(there, high)]

    def take_skipped(self) -> tuple[Skipped, ...]:
        """What was passed over since the last call."""
        skipped, self._skipped = self._skipped, []
        return tuple(skipped)

    def hear(self, partition: Any, there: TopicPartition, offset: int) -> None:
        """Notes what a broker says of a partition. What kafka-python would raise again at every poll is taken out."""
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
        """Lets those be fetched whose time has come, and stops those of which a broker has said that it cannot."""
        now_s = time.monotonic()
        for there in [one for one, at_s in self._retry_s.items() if at_s <= now_s]:
            del self._retry_s[there]
            self._paused(there, False)
        while self._refused:
            there, (offset, why) = self._refused.popitem()
            if self._position(there) == offset:  # else the answer is to a question from before
                self.stop(BadBatch(there, offset, "damaged", why))

    def end_poll(self) -> None:
        """Forgets what is over, and once a second looks for what stands still without a word."""
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
        """Stops a partition before what cannot be read, or goes on behind it where that is allowed and possible."""
        if bad.kind == "damaged" and self._skip_damaged:
            with contextlib.suppress(KafkaError):  # the last one known stays
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
        """These begin anew: what stood there is gone."""
        for there in set(partitions):
            for known in (self._held, self._still, self._highs, self._refused):
                known.pop(there, None)
            if self._retry_s.pop(there, None) is not None:
                self._paused(there, False)
            if (trouble := self._stopped.pop(there, None)) is not None:
                self._bad.pop((there, trouble.offset), None)

    def skip(self, there: TopicPartition, first: int, last: int, why: str) -> None:
        """Notes offsets that are passed over because they are damaged."""
        self._skipped.append(Skipped(there.topic[len(self._prefix) :], there.partition, first, last, why))

    def note_deleted(self, there: TopicPartition, first: int, last: int) -> None:
        """Notes offsets that the log let go of before they were read."""
        topic = there.topic[len(self._prefix) :]
        self._skipped.append(Skipped(topic, there.partition, first, last, DELETED, "deleted"))

    def _note_ends(self, ends: Mapping[TopicPartition, int]) -> None:
        """A broker that answers a fetch with an error does not say where the log ends; lag shall grow all the same."""
        self._ends.update(ends)
        self._highs.update({there: max(end, self._highs.get(there, 0)) for there, end in ends.items()})

    def _passes_over(self, bad: BadBatch) -> bool:
        high, end = self._highs.get(bad.there), self._ends.get(bad.there)
        if high is None or end is None or self._position(bad.there) is None:
            return False
        good = self._probe.next_good(bad.there, bad.offset, end, high)
        if good is None or good <= bad.offset:
            return False
        with contextlib.suppress(ValueError):  # it was taken away a moment ago: another reads it
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
        """A partition whose position has not moved for STILL_S: whether it should have."""
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
        with contextlib.suppress(KeyError):  # it is not ours any more
            (self._consumer.pause if paused else self._consumer.resume)(there)


def _cut_off(data: bytes) -> str:
    """What is wrong with how the first batch of an answer begins, "" where it is whole: a broker sends one whole."""
    size = 12 + int.from_bytes(data[8:12], "big", signed=True) if len(data) >= 12 else len(data) + 1
    if 0 < size <= len(data):
        return ""
    return f"a batch says that it is {size} bytes long, and the broker gives {len(data)}"
