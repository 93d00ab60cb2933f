"""The interface of the log: Source, Sink and Log. Never imports a broker's client.

It has two implementations, `broker.KafkaLog` and `memory_log.MemoryLog`, under one contract suite.
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
    index: int  # type: ignore[assignment]  # a number here, not tuple's method: partitions are not searched


class TopicShape(NamedTuple):
    """A topic's number of partitions, and its making: a number that changes when the topic is deleted and made anew.

    made: 0 where the log cannot tell.
    """

    partitions: int
    made: int = 0


Rebalance = Literal["none", "waits", "runs"]


class LiveMember(NamedTuple):
    """A process that is a member of a group now. id: the group's own, new for each process. partitions: it has now."""

    id: str
    host: str
    partitions: tuple[Partition, ...] = ()


class Record(Protocol):
    """One record of the log. `timestamp` is its append time in ms, as the broker assigned it."""

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
    """The result of one poll. Handle `revoked`, then `assigned`, then `records`.

    records: per partition in offset order, never an empty sequence. skipped: offsets passed over before these records.
    reshaped: topics that have more partitions than before, or were made anew. The next poll revokes all partitions of
    a group's member and assigns them again, from what the group has committed by then. A reader of exact partitions
    goes on with those it has: open another one.
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

        Raises Fenced where another member has taken this one's place. Raises LogUnavailable where this one has been
        without its group for so long that the source has to be opened anew.
        """

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Stores where this group resumes: the offset of the next record to read. Blocks until it is stored.

        Raises LogUnavailable, also during a rebalance (earlier commits stay valid), and Fenced.
        """

    def note(self, partition: Partition, text: str) -> None:
        """Sets a short text that is stored with the partition's position, in each commit of it from now on."""

    def notes(self, partitions: Sequence[Partition]) -> Mapping[Partition, str]:
        """The texts stored with the positions from which these partitions are read, "" where there is none.

        Only for partitions of the last `assigned`. Blocks. Raises LogUnavailable.
        """

    def again(self, *, from_beginning: bool = False) -> None:
        """Makes the next polls report `reshaped`, then revoke all and assign it again, as after a change of shape.

        from_beginning: reads from the oldest offset available.
        """

    def lag(self) -> Mapping[Partition, int]:
        """Records between this source's position and the end of each of its partitions, from the last fetch; no I/O."""

    def contact_age_s(self) -> float:
        """Seconds since a broker last answered."""

    def held(self) -> Collection[Partition]:
        """Partitions with records hidden behind an open transaction, as of the last fetch; no I/O."""

    def troubles(self) -> Sequence[Trouble]:
        """Problems that keep this source from reading some of its partitions, as of the last poll; no I/O.

        Such a partition gives no records and its position stands still; the others go on. It is retried by itself.
        """

    def rebalance(self) -> Rebalance:
        """Whether the group divides its partitions anew: `waits` for the next poll, or `runs`; no I/O.

        Commit while it waits, and not while it runs: what is not committed by then is another member's to repeat where
        its partition is lost, and a commit that holds such work is refused as a whole.
        """

    def member_id(self) -> str:
        """The group's id of this process, "" before it has joined; no I/O."""

    def leave(self) -> None:
        """Gives up this member's place in its group, so that others have its partitions at once. Close it after that.

        Blocks for a request. Where no broker answers, the place is given up when the member's session has ended.
        """

    def close(self) -> None:
        """Closes; commits nothing. The member keeps its partitions until it is back, or its session has ended."""


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

        A transactional sink's commit counts only while the source's member has the partitions that its last poll has
        reported, also where there are no positions to store (KIP-447). Raises LogUnavailable (nothing of it counts;
        restart from the committed positions), Fenced.
        """

    def begin_commit(self, source: Source, positions: Mapping[Partition, int]) -> Future[None]:
        """`commit`, but may return before it has completed; the future's result raises what `commit` raises.

        The next call of this sink waits for completion, and raises the same unless the future's result was taken.
        """

    def close(self) -> None:
        """Flushes records outside an open transaction, and closes."""


# Where a reader starts: at either end, or at a given offset per partition
Start = Literal["beginning", "end"] | Mapping[Partition, int]


class Log(Protocol):
    """Opens sources and sinks."""

    def group(self, topics: Sequence[str], group: str, member: str, beside: Sequence[str] = ()) -> Source:
        """A member of a consumer group, range-assigned. The same `member` (static) gets the same partitions back.

        Starts at the committed positions; at the beginning where there are none, or where the topic was made anew
        since. beside: topics that are not read, but watched for changes of shape.
        """

    def member(self, group: str, name: str) -> LiveMember | None:
        """The process that is this static member of a group now; None where there is none. Raises LogUnavailable."""

    def reader(self, partitions: Sequence[Partition], start: Start = "beginning") -> Source:
        """A source of exactly these partitions, outside any group.

        An offset that is deleted already means the oldest available; one beyond the end is the caller's mistake.
        """

    def sink(self, transactional_id: str | None = None) -> Sink:
        """Opens a sink; with an id, a transactional one that fences every earlier sink of the same id."""

    def partitions(self, topic: str) -> Sequence[Partition]:
        """All partitions of a topic, in order. Raises TopicMissing, LogUnavailable."""

    def shapes(self, topics: Sequence[str]) -> Mapping[str, TopicShape]:
        """Each topic's current shape. Raises TopicMissing, LogUnavailable."""

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """The offset after the last committed record of each. Raises LogUnavailable."""
