"""Counts a loop's calls of the log, as a sign that it is running. Never judges how many are enough.

Each turn of a loop polls, and long steps of a turn call the log too: restoring a big topic polls it, an outage is one
failed attempt to open it after the other, a rebalance goes on inside short polls. So a loop that makes no calls is
stuck, or computes for ever. The loop needs no code for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from streaming.log.log import Batch, LiveMember, Log, Partition, Sink, Source, Start, TopicShape


class TurnCounter:
    """A counter that changes as long as a loop turns. Any thread counts and reads."""

    def __init__(self) -> None:
        self.turns = 0

    def count_turn(self) -> None:
        """Adds one. Of two turns at the same moment one may be lost; that does not matter."""
        self.turns += 1


class WatchedLog:
    """A log that counts a turn at each call of it, or of a source or sink that it has opened, and passes it on."""

    def __init__(self, log: Log, turn_counter: TurnCounter) -> None:
        self._log = log
        self._turn_counter = turn_counter

    def group(self, topics: Sequence[str], group: str, member: str, beside: Sequence[str] = ()) -> Source:
        self._turn_counter.count_turn()
        return _WatchedSource(self._log.group(topics, group, member, beside), self._turn_counter)

    def member(self, group: str, name: str) -> LiveMember | None:
        self._turn_counter.count_turn()
        return self._log.member(group, name)

    def reader(self, partitions: Sequence[Partition], start: Start = "beginning") -> Source:
        self._turn_counter.count_turn()
        return _WatchedSource(self._log.reader(partitions, start), self._turn_counter)

    def sink(self, transactional_id: str | None = None) -> Sink:
        self._turn_counter.count_turn()
        return _WatchedSink(self._log.sink(transactional_id), self._turn_counter)

    def partitions(self, topic: str) -> Sequence[Partition]:
        self._turn_counter.count_turn()
        return self._log.partitions(topic)

    def shapes(self, topics: Sequence[str]) -> Mapping[str, TopicShape]:
        self._turn_counter.count_turn()
        return self._log.shapes(topics)

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self._turn_counter.count_turn()
        return self._log.ends(partitions)


class _WatchedSource:
    def __init__(self, source: Source, turn_counter: TurnCounter) -> None:
        self.watched = source
        self._turn_counter = turn_counter
        self.lag = source.lag
        self.contact_age_s = source.contact_age_s
        self.note = source.note
        self.again = source.again
        self.troubles = source.troubles
        self.held = source.held
        self.member_id = source.member_id
        self.rebalance = source.rebalance

    def poll(self, timeout_s: float) -> Batch:
        self._turn_counter.turns += 1
        return self.watched.poll(timeout_s)

    def notes(self, partitions: Sequence[Partition]) -> Mapping[Partition, str]:
        self._turn_counter.count_turn()
        return self.watched.notes(partitions)

    def commit(self, positions: Mapping[Partition, int]) -> None:
        self._turn_counter.count_turn()
        self.watched.commit(positions)

    def leave(self) -> None:
        self._turn_counter.count_turn()
        self.watched.leave()

    def close(self) -> None:
        self._turn_counter.count_turn()
        self.watched.close()


class _WatchedSink:
    def __init__(self, sink: Sink, turn_counter: TurnCounter) -> None:
        self._sink = sink
        self._turn_counter = turn_counter
        self.send = sink.send  # called once per record: no extra call here

    def flush(self) -> None:
        self._turn_counter.count_turn()
        self._sink.flush()

    def commit(self, source: Source, positions: Mapping[Partition, int]) -> None:
        self._turn_counter.count_turn()
        self._sink.commit(source.watched if isinstance(source, _WatchedSource) else source, positions)

    def begin_commit(self, source: Source, positions: Mapping[Partition, int]) -> Future[None]:
        self._turn_counter.count_turn()
        return self._sink.begin_commit(source.watched if isinstance(source, _WatchedSource) else source, positions)

    def close(self) -> None:
        self._turn_counter.count_turn()
        self._sink.close()
