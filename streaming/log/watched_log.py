"""Counts a loop's calls of the log, as a sign that it is running. Never judges how many are enough.

Each turn of a loop polls, and long steps of a turn call the log too: restoring a big topic polls it, an outage is one
failed attempt to open it after the other, a rebalance goes on inside short polls. So a loop that makes no calls is
stuck, or computes for ever. The loop needs no code for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from streaming.log.log import Batch, Log, Partition, Sink, Source, Start, TopicShape


class Pulse:
    """A counter that changes as long as a loop turns. Any thread beats and reads."""

    def __init__(self) -> None:
        self.turns = 0

    def beat(self) -> None:
        """Adds one. Of two beats at the same moment one may be lost; that does not matter."""
        self.turns += 1


class PulsedLog:
    """A log that beats at each call of it, or of a source or sink that it has opened, and passes the call on."""

    def __init__(self, log: Log, pulse: Pulse) -> None:
        self._log = log
        self._pulse = pulse

    def group(self, topics: Sequence[str], group: str, member: str, beside: Sequence[str] = ()) -> Source:
        self._pulse.beat()
        return _PulsedSource(self._log.group(topics, group, member, beside), self._pulse)

    def reader(self, partitions: Sequence[Partition], start: Start = "beginning") -> Source:
        self._pulse.beat()
        return _PulsedSource(self._log.reader(partitions, start), self._pulse)

    def sink(self, transactional_id: str | None = None) -> Sink:
        self._pulse.beat()
        return _PulsedSink(self._log.sink(transactional_id), self._pulse)

    def partitions(self, topic: str) -> Sequence[Partition]:
        self._pulse.beat()
        return self._log.partitions(topic)

    def shapes(self, topics: Sequence[str]) -> Mapping[str, TopicShape]:
        self._pulse.beat()
        return self._log.shapes(topics)

    def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self._pulse.beat()
        return self._log.ends(partitions)


class _PulsedSource:
    def __init__(self, source: Source, pulse: Pulse) -> None:
        self.watched = source
        self._pulse = pulse
        self.lag = source.lag
        self.contact_age_s = source.contact_age_s
        self.note = source.note
        self.again = source.again
        self.troubles = source.troubles
        self.held = source.held

    def poll(self, timeout_s: float) -> Batch:
        self._pulse.turns += 1
        return self.watched.poll(timeout_s)

    def notes(self, partitions: Sequence[Partition]) -> Mapping[Partition, str]:
        self._pulse.beat()
        return self.watched.notes(partitions)

    def commit(self, positions: Mapping[Partition, int]) -> None:
        self._pulse.beat()
        self.watched.commit(positions)

    def close(self) -> None:
        self._pulse.beat()
        self.watched.close()


class _PulsedSink:
    def __init__(self, sink: Sink, pulse: Pulse) -> None:
        self._sink = sink
        self._pulse = pulse
        self.send = sink.send  # called once per record: no extra call here

    def flush(self) -> None:
        self._pulse.beat()
        self._sink.flush()

    def commit(self, source: Source, positions: Mapping[Partition, int]) -> None:
        self._pulse.beat()
        self._sink.commit(source.watched if isinstance(source, _PulsedSource) else source, positions)

    def begin_commit(self, source: Source, positions: Mapping[Partition, int]) -> Future[None]:
        self._pulse.beat()
        return self._sink.begin_commit(source.watched if isinstance(source, _PulsedSource) else source, positions)

    def close(self) -> None:
        self._pulse.beat()
        self._sink.close()
