"""An in-memory log, with the groups, transactions and fencing of a real one. Never leaves the process."""

from __future__ import annotations

import itertools
import threading
import uuid
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from streaming.clock import Clock
from streaming.errors import Fenced, LogError, LogUnavailable, TopicMissing
from streaming.log.log import Batch, LiveMember, Partition, Rebalance, Record, Source, Start, TopicShape
from streaming.log.memory_record import MemoryRecord, Unsent
from streaming.log.partitioner import partition_of
from streaming.troubles import Skipped, Trouble

MAX_POLL_RECORDS = 5_000


@dataclass
class _Group:
    """State of one consumer group."""

    committed: dict[Partition, int] = field(default_factory=dict)
    notes: dict[Partition, str] = field(default_factory=dict)
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
        self._made = dict.fromkeys(partitions, 1)
        self._sources: weakref.WeakSet[MemorySource] = weakref.WeakSet()
        self._groups: dict[str, _Group] = {}
        self._epochs: dict[str, int] = {}
        self._keyless = itertools.count()
        self._last_append_ms = 0
        self._available = True
        self._contact_s = clock.monotonic_s()
        self.troubles: dict[Partition, Trouble] = {}
        self.lost: dict[Partition, Skipped] = {}
        self.held: set[Partition] = set()  # partitions with records hidden behind an open transaction
        self.changed = threading.Condition(threading.RLock())

    def group(self, topics: Sequence[str], group: str, member: str, beside: Sequence[str] = ()) -> MemorySource:
        self.shapes((*topics, *beside))
        with self.changed:
            source = MemorySource(self, group=group, member=member, topics=tuple(topics))
            source.beside = tuple(beside)
            self._sources.add(source)
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

    def member(self, group: str, name: str) -> LiveMember | None:
        with self.changed:
            self.require_available()
            source = self._groups[group].members.get(name) if group in self._groups else None
            if source is None:
                return None
            return LiveMember(source.member_id(), "localhost", tuple(source.partitions()))

    def reader(self, partitions: Sequence[Partition], start: Start = "beginning") -> MemorySource:
        ends = self.ends(partitions)
        source = MemorySource(self, group=None, member="", topics=())
        source.beside = tuple({partition.topic for partition in partitions})
        self._sources.add(source)
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

    def shapes(self, topics: Sequence[str]) -> Mapping[str, TopicShape]:
        return {topic: TopicShape(len(self.partitions(topic)), self._made[topic]) for topic in topics}

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        with self.changed:
            self.require_available()
            return {partition: len(self._lines(partition)) for partition in partitions}

    def expire(self, group: str, member: str) -> None:
        """Expires a member, as after the session timeout: its partitions go to the others."""
        with self.changed:
            self._groups[group].members.pop(member).expire()
            self._rebalance(group)

    def trouble(self, trouble: Trouble) -> None:
        """Stops all readers at the trouble's offset from now on."""
        with self.changed:
            self.troubles[Partition(trouble.topic, trouble.partition)] = trouble

    def lose(self, skipped: Skipped) -> None:
        """Makes all readers skip these offsets from now on."""
        with self.changed:
            self.lost[Partition(skipped.topic, skipped.partition)] = skipped

    def mend(self, partition: Partition) -> None:
        """Removes a partition's trouble."""
        with self.changed:
            del self.troubles[partition]
            self.changed.notify_all()

    def grow(self, topic: str, partitions: int) -> None:
        """Grows a topic to so many partitions, the new ones empty."""
        with self.changed:
            for index in range(self._counts[topic], partitions):
                self._records[Partition(topic, index)] = []
            self._counts[topic] = partitions
            self._reshape(topic)

    def remake(self, topic: str, *, truncated: bool = False) -> None:
        """Deletes the topic and makes it anew. truncated: keeps the topic, but its broker has lost its disk."""
        with self.changed:
            for partition in self.partitions(topic):
                self._records[partition] = []
                for group in self._groups.values():
                    if not truncated:
                        group.committed.pop(partition, None)
                        group.notes.pop(partition, None)
            self._made[topic] += not truncated
            self._reshape(topic)

    def _reshape(self, topic: str) -> None:
        for name, group in self._groups.items():
            if any(topic in source.topics for source in group.members.values()):
                self._rebalance(name)
        for source in self._sources:
            if topic in source.topics or topic in source.beside:
                source.reshape(topic)
        self.changed.notify_all()

    def pause(self) -> None:
        """Takes the brokers away: polls are empty, writes and commits raise LogUnavailable."""
        with self.changed:
            self._contact_s = self._clock.monotonic_s()
            self._available = False

    def resume(self) -> None:
        """Brings the brokers back."""
        with self.changed:
            self._available = True
            self.changed.notify_all()

    # Called by sources and sinks; each with the lock held.

    @property
    def available(self) -> bool:
        return self._available

    def require_available(self) -> None:
        if not self._available:
            raise LogUnavailable("the in-memory log is paused")

    def contact_age_s(self) -> float:
        return 0.0 if self._available else self._clock.monotonic_s() - self._contact_s

    def read(self, partition: Partition, offset: int, limit: int) -> Sequence[MemoryRecord]:
        end = min(offset + limit, self.readable(partition))
        if (lost := self.lost.get(partition)) is not None and offset <= lost.first:
            end = min(end, lost.first)
        return self._lines(partition)[offset:end]

    def end(self, partition: Partition) -> int:
        return len(self._lines(partition))

    def readable(self, partition: Partition) -> int:
        """The partition's end, or the offset at which a trouble stops readers."""
        trouble = self.troubles.get(partition)
        return self.end(partition) if trouble is None else min(trouble.offset, self.end(partition))

    def append(self, unsent: Iterable[Unsent]) -> None:
        self._last_append_ms = max(self._last_append_ms, self._clock.now_ms())
        for topic, key, value, index in map(self._placed, unsent):
            lines = self._lines(Partition(topic, index))
            lines.append(MemoryRecord(topic, index, len(lines), self._last_append_ms, key, value))
        self.changed.notify_all()

    def epoch(self, transactional_id: str) -> int:
        return self._epochs[transactional_id]

    def leave(self, group: str, source: MemorySource) -> None:
        members = self._groups[group].members
        for name in [name for name, one in members.items() if one is source]:
            self.expire(group, name)

    def store(self, group: str, positions: Mapping[Partition, int], notes: Mapping[Partition, str]) -> None:
        self._groups[group].committed.update(positions)
        self._groups[group].notes.update({partition: notes[partition] for partition in positions if partition in notes})

    def made(self, topic: str) -> int:
        return self._made[topic]

    def noted(self, group: str, partition: Partition) -> str:
        return self._groups[group].notes.get(partition, "")

    def committed(self, group: str, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return self._from_committed(group, partitions)

    def _rebalance(self, name: str) -> None:
        """Assigns as Kafka's range assignor does: contiguous ranges of a topic's partitions to members by name."""
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
        ends = {partition: len(self._lines(partition)) for partition in partitions}
        return {p: at if (at := committed.get(p, 0)) <= end else 0 for p, end in ends.items()}

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
        self._lost: set[Partition] = set()  # since the last poll, also where they came back
        self._id = uuid.uuid4().hex
        self._fenced = False
        self._expired = False
        self._closed = False
        self._noted: dict[Partition, str] = {}
        self._made: dict[str, int] = {}  # the making to which the positions belong
        self._reshaped: set[str] = set()
        self._again = self._from_beginning = False
        self.topics = topics
        self.beside: tuple[str, ...] = ()

    def poll(self, timeout_s: float) -> Batch:
        with self._log.changed:
            self._log.changed.wait_for(self._has_something, timeout=timeout_s)
            self.require_member()
            if self._expired:
                raise LogUnavailable(f"member {self._member!r} is in group {self._group!r} no more: it joins anew")
            if self._reshaped:
                reshaped, self._reshaped = tuple(sorted(self._reshaped)), set()
                self._again = self._group is not None
                return Batch(reshaped=reshaped)
            if self._again:
                self._begin_again()
            assigned, revoked = self._take_assignment()
            return Batch(self._take_records(), assigned, revoked, self._pass_over())

    def commit(self, positions: Mapping[Partition, int]) -> None:
        with self._log.changed:
            self.require_member()
            self._log.require_available()
            self.store(positions)

    def note(self, partition: Partition, text: str) -> None:
        self._noted[partition] = text

    def notes(self, partitions: Sequence[Partition]) -> Mapping[Partition, str]:
        with self._log.changed:
            return {partition: self._log.noted(self._group or "", partition) for partition in partitions}

    def again(self, *, from_beginning: bool = False) -> None:
        with self._log.changed:
            self._reshaped |= set(self.topics)
            self._from_beginning = from_beginning

    def _begin_again(self) -> None:
        held = self.partitions()
        committed = self._log.committed(self._group or "", held)
        self._given = dict.fromkeys(held, 0) if self._from_beginning else committed
        self._from_beginning = False

    def lag(self) -> Mapping[Partition, int]:
        with self._log.changed:
            return {partition: self._log.end(partition) - at for partition, at in self._positions.items()}

    def contact_age_s(self) -> float:
        return self._log.contact_age_s()

    def held(self) -> Collection[Partition]:
        with self._log.changed:
            return self._log.held & self._positions.keys()

    def troubles(self) -> Sequence[Trouble]:
        with self._log.changed:
            return [trouble for place, trouble in self._log.troubles.items() if place in self._positions]

    def rebalance(self) -> Rebalance:
        return "none"  # it divides them at once, whatever its members do

    def member_id(self) -> str:
        return self._id

    def leave(self) -> None:
        if self._group is not None:
            self._log.leave(self._group, self)

    def close(self) -> None:
        with self._log.changed:
            self._closed = True  # a static member keeps its partitions until it is back, or has expired

    # Called by the log and by sinks; each with the lock held.

    def seek(self, positions: dict[Partition, int]) -> None:
        self._positions = positions

    def assign(self, positions: dict[Partition, int]) -> None:
        self._given = positions
        self._lost |= self._positions.keys() - positions.keys()

    def partitions(self) -> Sequence[Partition]:
        return list(self._positions if self._given is None else self._given)

    def reshape(self, topic: str) -> None:
        self._reshaped.add(topic)
        if self._group is None:
            self._positions = {p: min(at, self._log.end(p)) for p, at in self._positions.items()}

    def fence(self) -> None:
        self._fenced = True

    def expire(self) -> None:
        self._expired = True

    def require_partitions(self) -> None:
        """Raises LogUnavailable where the group has taken partitions away since the last poll, or given none."""
        if self._expired or not self._positions or self._lost:
            raise LogUnavailable(f"member {self._member!r} of group {self._group!r} has lost partitions: it joins anew")

    def require_member(self) -> None:
        if self._fenced:
            raise Fenced(f"another process has joined group {self._group!r} as member {self._member!r}")
        if self._closed:
            raise LogError("this source is closed")

    def store(self, positions: Mapping[Partition, int]) -> None:
        if self._group is None:
            raise LogError("a reader of exact partitions belongs to no group and stores no positions")
        ours = {p: at for p, at in positions.items() if self._made.get(p.topic) == self._log.made(p.topic)}
        self._log.store(self._group, ours, self._noted)  # positions in a topic that is gone are left out

    def _has_something(self) -> bool:
        if self._fenced or self._expired or self._closed or self._given is not None or self._reshaped or self._again:
            return True
        held = self._positions if self._given is None else self._given
        return self._log.available and any(self._log.readable(partition) > at for partition, at in held.items())

    def _take_assignment(self) -> tuple[tuple[Partition, ...], tuple[Partition, ...]]:
        given, self._given = self._given, None
        if given is None:
            return (), ()
        self._made = {topic: self._log.made(topic) for topic in self.topics}
        held = {} if self._again else {p: at for p, at in self._positions.items() if p not in self._lost}
        self._again, self._lost = False, set()
        revoked = tuple(partition for partition in self._positions if partition not in given or partition not in held)
        assigned = tuple(partition for partition in given if partition not in held)
        self._positions = {partition: held.get(partition, at) for partition, at in given.items()}
        return assigned, revoked

    def _pass_over(self) -> tuple[Skipped, ...]:
        lost = [one for partition, one in self._log.lost.items() if self._positions.get(partition) == one.first]
        self._positions.update({Partition(one.topic, one.partition): one.last + 1 for one in lost})
        return tuple(lost)

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
    """Writes to a MemoryLog; a transactional one holds back its records until the commit."""

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
                if self._transactional_id is not None:
                    source.require_partitions()
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
