"""Owns the seam to the log: Source, Sink and Log. Never imports a broker's client.

Two implementations stand behind it, `broker.KafkaLog` and `memory_log.MemoryLog`, under one contract suite.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from streaming.troubles import Skipped, Trouble


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    index: int  # type: ignore[assignment]  # a number here, not tuple's method: nobody searches a partition


class TopicShape(NamedTuple):
    """How many partitions a topic has, and which making of it this is: another number once it was made anew.

    made: 0 where the log cannot tell.
    """

    partitions: int
    made: int = 0


class Record(Protocol):
    """One record as it lies on the log. `timestamp` is the append time, in ms, that the broker gave it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll brought. Handle `revoked`, then `assigned`, then `records`.

    records: per partition in offset order, never an empty sequence. skipped: what was passed over to come to them.
    reshaped: topics that have more partitions than before, or begin anew. The next poll gives a member of a group
    everything again, by `revoked` and `assigned`, to be read on from what its group has committed by then; a reader of
    exact partitions goes on with what it has: open another.
    """

    records: Mapping[Partition, Sequence[Record]] = field(default_factory=dict)
    assigned: tuple[Partition, ...] = ()
    revoked: tuple[Partition, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    reshaped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.records.values()))


class Source(Protocol):
    """Reads committed records of the partitions it is given. For one thread."""

    def poll(self, timeout_s: float) -> Batch:
        """Next records, empty if none in time. Never commits. While no broker answers: empty, see `contact_age_s`.

        Raises Fenced where another member has taken this one's place, LogUnavailable where this one has lost its group
        for so long that it has to be opened anew.
        """

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Stores where this group resumes: the offset of the next record to read. Blocks until it is stored.

        Raises LogUnavailable (also while the group is being distributed anew; what was stored before counts), Fenced.
        """

    def note(self, partition: Partition, text: str) -> None:
        """Has a short text stored beside the partition's position, with each commit that names it from now on."""

    def notes(self, partitions: Sequence[Partition]) -> Mapping[Partition, str]:
        """The texts that were stored beside the positions from which these partitions are read, "" where none was.

        Of the partitions of the last `assigned`. Blocks. Raises LogUnavailable.
        """

    def again(self, *, from_beginning: bool = False) -> None:
        """Has the next polls say `reshaped`, then revoke everything and assign it again, as after a change of shape.

        from_beginning: from the first offset that is there.
        """

    def lag(self) -> Mapping[Partition, int]:
        """Records between this source's position and the end of each of its partitions, from the last fetch; no I/O."""

    def contact_age_s(self) -> float:
        """Seconds since a broker last answered."""

    def held(self) -> Collection[Partition]:
        """Partitions behind whose end more lies, because a transaction is open, as of the last fetch; no I/O."""

    def troubles(self) -> Sequence[Trouble]:
        """What keeps this source from reading some of its partitions, as of the last poll; no I/O.

        Such a partition gives no records and its position stands still; the others go on. It is tried again by itself.
        """

    def close(self) -> None:
        """Leaves; commits nothing."""


class Sink(Protocol):
    """Writes records. For one thread."""

    def send(self, topic: str, key: bytes | None, value: bytes | None, partition: int | None = None) -> None:
        """Queues one record; `value` None is a tombstone. The key chooses the partition unless it is given."""

    def flush(self) -> None:
        """Blocks until everything sent is acknowledged (in a transactional sink: written, not yet visible).

        Raises LogUnavailable, Fenced.
        """

    def commit(self, source: Source, positions: Mapping[Partition, int]) -> None:
        """Flushes, then stores the source's positions. In a transactional sink both become visible as one, or neither.

        Raises LogUnavailable (nothing of it counts; restart from the committed positions), Fenced.
        """

    def begin_commit(self, source: Source, positions: Mapping[Partition, int]) -> Future[None]:
        """`commit`, but may return before it is over; the future then tells its end, and raises what `commit` raises.

        Any next call of this sink waits for that end, and raises the same where nobody has asked the future.
        """

    def close(self) -> None:
        """Flushes what is not part of an open transaction, and closes."""


# Where a reader starts; or the offset of the first record wanted of each partition
Start = Literal["beginning", "end"] | Mapping[Partition, int]


class Log(Protocol):
    """Opens sources and sinks."""

    def group(self, topics: Sequence[str], group: str, member: str, beside: Sequence[str] = ()) -> Source:
        """A member of a consumer group, range-assigned. The same `member` (static) gets the same partitions back.

        Starts at the committed positions, at the beginning where there are none, or where they are of a topic that was
        made anew since. beside: topics that are not read, whose change of shape matters all the same.
        """

    def reader(self, partitions: Sequence[Partition], start: Start = "beginning") -> Source:
        """Reads exactly these partitions, outside any group.

        An offset that the log no longer has is read as the oldest it has; one beyond the end is the caller's mistake.
        """

    def sink(self, transactional_id: str | None = None) -> Sink:
        """A sink; with an id, a transactional one that fences every earlier sink of the same id."""

    def partitions(self, topic: str) -> Sequence[Partition]:
        """All partitions of a topic, in order. Raises TopicMissing, LogUnavailable."""

    def shapes(self, topics: Sequence[str]) -> Mapping[str, TopicShape]:
        """What each topic is like at this moment. Raises TopicMissing, LogUnavailable."""

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """The offset after the last committed record of each. Raises LogUnavailable."""
