"""A log under test and what all its tests do with it. Never asserts what a log promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from streaming.log.log import Batch, Log, Partition, Record, Source

TOPICS = {"a": 4, "b": 4, "one": 1}
PATIENCE_S = 60.0
A = [Partition("a", index) for index in range(4)]
B = [Partition("b", index) for index in range(4)]
ONE = Partition("one", 0)


class Opened:
    """A log under test, and what closes what a test opens on it."""

    def __init__(
        self,
        log: Log,
        expire: Callable[[str, str], None],
        grow: Callable[[str, int], None],
        remake: Callable[[str], None],
    ) -> None:
        self.log = log
        self.expire = expire
        self.grow = grow
        self.remake = remake
        self._sources: list[Source] = []

    def group(self, *topics: str, member: str = "0", group: str = "g") -> Source:
        return self._kept(self.log.group(topics, group, member))

    def reader(self, *partitions: Partition, at_end: bool = False) -> Source:
        return self._kept(self.log.reader(partitions, "end" if at_end else "beginning"))

    def write(self, topic: str, *values: bytes, key: bytes | None = b"k", partition: int | None = None) -> None:
        sink = self.log.sink()
        for value in values:
            sink.send(topic, key, value, partition)
        sink.flush()
        sink.close()

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def _kept(self, source: Source) -> Source:
        self._sources.append(source)
        return source


class Owned:
    """The partitions of a member, as its polls report them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._partitions: set[Partition] = set()

    def exactly(self, partitions: list[Partition]) -> bool:
        """Polls once; whether the member has these partitions now, and no others."""
        batch = self._source.poll(0.1)
        self._partitions.difference_update(batch.revoked)
        self._partitions.update(batch.assigned)
        return self._partitions == set(partitions)


def read(source: Source, count: int) -> list[Record]:
    """The next `count` records, in the order polled; fails where they do not come."""
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        batch = source.poll(0.2)
        assert all(batch.records.values()), "a partition without records must not be in a batch"
        found += [record for records in batch.records.values() for record in records]
    assert len(found) == count
    return found


def settle(*sources: Source, until: Callable[[], bool]) -> list[Batch]:
    """Polls the sources in turn until it is so; every batch that came."""
    batches: list[Batch] = []
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline, "it did not come to be"
        batches += [source.poll(0.1) for source in sources]
    return batches


def assigned(source: Source) -> list[Partition]:
    """Polls a new member until it is given partitions."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if batch := source.poll(0.2).assigned:
            return list(batch)
    raise AssertionError("no assignment")


def caught_up(lag: Mapping[Partition, int]) -> bool:
    return not any(lag.values())


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]
