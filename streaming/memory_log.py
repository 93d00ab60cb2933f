"""Keeps a log in memory, with the groups, transactions and fencing of a real one. Never leaves the process."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from streaming.clock import Clock
from streaming.errors import Fenced, LogError, LogUnavailable, TopicMissing
from streaming.log import Batch, Partition, Record, Source, Start
from streaming.memory_record import MemoryRecord, Unsent
from streaming.partitioner import partition_of

MAX_POLL_RECORDS = 5_000


@dataclass
class _Group:
    """What the log remembers of a consumer group."""

    committed: dict[Partition, int] = field(default_factory=dict)
    members: dict[str, MemorySource] = field(default_factory=dict)


class MemoryLog:
    """A log for tests: `partitions` gives each topic's number of them. For any number of threads.

    `pause()` makes it behave like a cluster whose brokers are away, `resume()` brings them back.
    """

    def __init__(self, clock: Clock, partitions: Mapping[str, int]) -> None:
        self._clock = clock
        self._counts = dict(partitions)
        self._records: dict[Partition, list[MemoryRecord]] = {
            Partition(topic, index): [] for topic, count in partitions.items() for index in range(count)
        }
        self._groups: dict[str, _Group] = {}
        self._epochs: dict[str, int] = {}
        self._keyless = itertools.count()
        self._last_append_ms = 0
        self._available = True
        self._contact_s = clock.monotonic_s()
        self.changed = threading.Condition(threading.RLock())

    def group(self, topics: Sequence[str], group: str, member: str) -> MemorySource:
        for topic in topics:
            self.partitions(topic)
        with self.changed:
            source = MemorySource(self, group=group, member=member, topics=tuple(topics))
            members = self._groups.setdefault(group, _Group()).members
            replaced = members.get(member)
            members[member] = source
            if replaced is None:
                self._rebalance(group)
            else:
                replaced.fence()
                source.assign(self._from_committed(group, replaced.partitions()))
                self.changed.notify_all()
            return source

    def reader(self, partitions: Sequence[Partition], start: Start = "beginning") -> MemorySource:
        ends = self.ends(partitions)
        source = MemorySource(self, group=None, member="", topics=())
        positions = dict(start) if isinstance(start, Mapping) else ends if start == "end" else dict.fromkeys(ends, 0)
        source.seek({partition: positions[partition] for partition in partitions})
        return source

    def sink(self, transactional_id: str | None = None) -> MemorySink:
        with self.changed:
            if transactional_id is None:
                return MemorySink(self, None, 0)
            epoch = self._epochs.get(transactional_id, 0) + 1
            self._epochs[transactional_id] = epoch
            return MemorySink(self, transactional_id, epoch)

    def partitions(self, topic: str) -> Sequence[Partition]:
        if topic not in self._counts:
            raise TopicMissing(f"topic {topic!r} does not exist; `tidecast topics` creates what is missing")
        return [Partition(topic, index) for index in range(self._counts[topic])]

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        with self.changed:
            self.require_available()
            return {partition: len(self._lines(partition)) for partition in partitions}

    def expire(self, group: str, member: str) -> None:
        """The member was silent for the session timeout: its partitions go to the others."""
        with self.changed:
            del self._groups[group].members[member]
            self._rebalance(group)

    def pause(self) -> None:
        """The brokers are away: polls are empty, writes and commits raise LogUnavailable."""
        with self.changed:
            self._contact_s = self._clock.monotonic_s()
            self._available = False

    def resume(self) -> None:
        """The brokers are back."""
        with self.changed:
            self._available = True
            self.changed.notify_all()

    # What sources and sinks ask of the log; each with the lock held.

    @property
    def available(self) -> bool:
        return self._available

    def require_available(self) -> None:
        if not self._available:
            raise LogUnavailable("the in-memory log is paused")

    def contact_age_s(self) -> float:
        return 0.0 if self._available else self._clock.monotonic_s() - self._contact_s

    def read(self, partition: Partition, offset: int, limit: int) -> Sequence[MemoryRecord]:
        return self._lines(partition)[offset : offset + limit]

    def end(self, partition: Partition) -> int:
        return len(self._lines(partition))

    def append(self, unsent: Iterable[Unsent]) -> None:
        self._last_append_ms = max(self._last_append_ms, self._clock.now_ms())
        for topic, key, value, index in map(self._placed, unsent):
            lines = self._lines(Partition(topic, index))
            lines.append(MemoryRecord(topic, index, len(lines), self._last_append_ms, key, value))
        self.changed.notify_all()

    def epoch(self, transactional_id: str) -> int:
        return self._epochs[transactional_id]

    def store(self, group: str, positions: Mapping[Partition, int]) -> None:
        self._groups[group].committed.update(positions)

    def _rebalance(self, name: str) -> None:
        """The range assignor: each topic's partitions in contiguous ranges over its members in order of their names."""
        group = self._groups[name]
        given: dict[str, list[Partition]] = {member: [] for member in group.members}
        for topic in sorted({topic for source in group.members.values() for topic in source.topics}):
            members = sorted(member for member, source in group.members.items() if topic in source.topics)
            share, extra = divmod(self._counts[topic], len(members))
            start = 0
            for rank, member in enumerate(members):
                count = share + (rank < extra)
                given[member] += [Partition(topic, index) for index in range(start, start + count)]
                start += count
        for member, source in group.members.items():
            source.assign(self._from_committed(name, given[member]))
        self.changed.notify_all()

    def _from_committed(self, group: str, partitions: Iterable[Partition]) -> dict[Partition, int]:
        committed = self._groups[group].committed
        return {partition: committed.get(partition, 0) for partition in partitions}

    def _placed(self, unsent: Unsent) -> tuple[str, bytes | None, bytes | None, int]:
        topic, key, value, index = unsent
        if index is None:
            count = self._counts[topic]
            index = next(self._keyless) % count if key is None else partition_of(key, count)
        return topic, key, value, index

    def _lines(self, partition: Partition) -> list[MemoryRecord]:
        try:
            return self._records[partition]
        except KeyError as err:
            raise TopicMissing(f"there is no partition {partition.index} of topic {partition.topic!r}") from err


class MemorySource:
    """Reads a MemoryLog."""

    def __init__(self, log: MemoryLog, *, group: str | None, member: str, topics: tuple[str, ...]) -> None:
        self._log = log
        self._group = group
        self._member = member
        self._positions: dict[Partition, int] = {}
        self._given: dict[Partition, int] | None = None
        self._fenced = False
        self._closed = False
        self.topics = topics

    def poll(self, timeout_s: float) -> Batch:
        with self._log.changed:
            self._log.changed.wait_for(self._has_something, timeout=timeout_s)
            self.require_member()
            assigned, revoked = self._take_assignment()
            return Batch(self._take_records(), assigned, revoked)

    def commit(self, positions: Mapping[Partition, int]) -> None:
        with self._log.changed:
            self.require_member()
            self._log.require_available()
            self.store(positions)

    def lag(self) -> Mapping[Partition, int]:
        with self._log.changed:
            return {partition: self._log.end(partition) - at for partition, at in self._positions.items()}

    def contact_age_s(self) -> float:
        return self._log.contact_age_s()

    def close(self) -> None:
        with self._log.changed:
            self._closed = True  # a static member keeps its partitions until it is back, or has expired

    # What the log and the sinks ask of a source; each with the lock held.

    def seek(self, positions: dict[Partition, int]) -> None:
        self._positions = positions

    def assign(self, positions: dict[Partition, int]) -> None:
        self._given = positions

    def partitions(self) -> Sequence[Partition]:
        return list(self._positions if self._given is None else self._given)

    def fence(self) -> None:
        self._fenced = True

    def require_member(self) -> None:
        if self._fenced:
            raise Fenced(f"another process has joined group {self._group!r} as member {self._member!r}")
        if self._closed:
            raise LogError("this source is closed")

    def store(self, positions: Mapping[Partition, int]) -> None:
        if self._group is None:
            raise LogError("a reader of exact partitions belongs to no group and stores no positions")
        self._log.store(self._group, positions)

    def _has_something(self) -> bool:
        if self._fenced or self._closed or self._given is not None:
            return True
        held = self._positions if self._given is None else self._given
        return self._log.available and any(self._log.end(partition) > at for partition, at in held.items())

    def _take_assignment(self) -> tuple[tuple[Partition, ...], tuple[Partition, ...]]:
        given, self._given = self._given, None
        if given is None:
            return (), ()
        held = self._positions
        assigned = tuple(partition for partition in given if partition not in held)
        revoked = tuple(partition for partition in held if partition not in given)
        self._positions = {partition: held.get(partition, at) for partition, at in given.items()}
        return assigned, revoked

    def _take_records(self) -> dict[Partition, Sequence[Record]]:
        records: dict[Partition, Sequence[Record]] = {}
        room = MAX_POLL_RECORDS if self._log.available else 0
        for partition, at in self._positions.items():
            lines = self._log.read(partition, at, room)
            if lines:
                records[partition] = lines
                self._positions[partition] = at + len(lines)
                room -= len(lines)
        return records


class MemorySink:
    """Writes to a MemoryLog; a transactional one keeps what is sent to itself until the commit."""

    def __init__(self, log: MemoryLog, transactional_id: str | None, epoch: int) -> None:
        self._log = log
        self._transactional_id = transactional_id
        self._epoch = epoch
        self._unsent: list[Unsent] = []

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        self._log.partitions(topic)
        self._unsent.append(Unsent(topic, key, value, partition))
        if self._transactional_id is None and self._log.available:
            self.flush()

    def flush(self) -> None:
        with self._log.changed:
            self._require_writer()
            if self._transactional_id is None:
                self._write()

    def commit(self, source: Source, positions: Mapping[Partition, int]) -> None:
        if not isinstance(source, MemorySource):
            raise LogError(f"a {type(source).__name__} cannot be committed through an in-memory sink")
        with self._log.changed:
            try:
                source.require_member()
                self._require_writer()
            except LogError:
                self._unsent.clear()
                raise
            self._write()
            if positions:
                source.store(positions)

    def begin_commit(self, source: Source, positions: Mapping[Partition, int]) -> Future[None]:
        ended: Future[None] = Future()
        try:
            self.commit(source, positions)
            ended.set_result(None)
        except LogError as err:
            ended.set_exception(err)
        return ended

    def close(self) -> None:
        if self._transactional_id is None:
            self.flush()
        self._unsent.clear()

    def _require_writer(self) -> None:
        if self._transactional_id is not None and self._log.epoch(self._transactional_id) != self._epoch:
            raise Fenced(f"another process writes as {self._transactional_id!r} now")
        self._log.require_available()

    def _write(self) -> None:
        unsent, self._unsent = self._unsent, []
        self._log.append(unsent)
