"""Puts rules that cannot be read on the dead-letter topic. Never waits for the log: its reader keeps tables current."""

from __future__ import annotations

from collections.abc import Callable

from actors.intake.writer import TopicWriter
from streaming.clock import Clock
from streaming.errors import RecordError
from streaming.log.dead_letter import DeadLetters
from streaming.log.log import Log, Record
from streaming.log.topics import DEAD_LETTER
from streaming.metrics import Metrics


class RefusedRules:
    """Takes refused rules from the thread that reads them; another one writes. Nobody waits for it."""

    def __init__(self, log: Log, metrics: Metrics, clock: Clock, is_first: Callable[[], bool]) -> None:
        """is_first: whether this replica is the one that reports: all of them read each rule, again at each start."""
        self._writer = TopicWriter(log, DEAD_LETTER, metrics)
        self._letters = DeadLetters(_Posted(self._writer), metrics, clock)
        self._is_first = is_first

    def refuse(self, record: Record, error: RecordError) -> None:
        """Reports a record that is no rule; returns at once."""
        if self._is_first():
            self._letters.refuse(record, error)

    def stop(self, timeout_s: float) -> bool:
        """Writes what waits and ends the thread; whether that was in time."""
        return self._writer.stop(timeout_s)


class _Posted:
    """The part of a sink that letters need: what is sent is queued for the writer's thread."""

    def __init__(self, writer: TopicWriter) -> None:
        self._writer = writer

    def send(self, topic: str, key: bytes | None, value: bytes | None, /) -> None:
        assert topic == DEAD_LETTER
        if value is not None:
            self._writer.submit([(key, value)])
