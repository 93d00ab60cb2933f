"""Plays events into a sink at the pace of their times. Never makes events and never reads files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from streaming.clock import Clock
from streaming.codec import Decoder
from streaming.log import Sink

COARSEST_WAIT_S = 0.01  # events within it are sent together: a flush costs milliseconds, a message may wait ten of them
REPORT_EVERY = 2_000  # events between two reports of progress when nothing waits


class Event(NamedTuple):
    """One encoded record on its way to the log."""

    topic: str
    key: bytes
    value: bytes
    at_ms: int

    @property
    def record(self) -> Any:
        """The record, decoded."""
        return Decoder(self.topic)(self.value)


@dataclass(frozen=True, slots=True)
class Played:
    """How far a playback is. `behind_s`: how much later than its time the newest event was sent."""

    events: int
    at_ms: int
    elapsed_s: float
    behind_s: float


class Pace:
    """Maps event times to the clock: the first event is due at once, the others `speed` times as fast as they happened.

    Every due time counts from the first event, so that waits that are a little long do not add up.
    speed: None for as fast as possible. wait: blocks for seconds, true to stop; `stop.wait` of a threading.Event.
    """

    def __init__(self, clock: Clock, speed: float | None, wait: Callable[[float], bool]) -> None:
        self._clock = clock
        self._speed = speed
        self.wait = wait
        self._started_s = 0.0
        self._first_ms: int | None = None

    def ahead_s(self, at_ms: int) -> float:
        """Seconds until the event is due; 0 or less where it is due or late."""
        if self._first_ms is None:
            self._first_ms, self._started_s = at_ms, self._clock.monotonic_s()
        if self._speed is None:
            return 0.0
        return (at_ms - self._first_ms) / 1000 / self._speed - (self._clock.monotonic_s() - self._started_s)

    def elapsed_s(self) -> float:
        return 0.0 if self._first_ms is None else self._clock.monotonic_s() - self._started_s


def play(
    events: Iterable[Event],
    sink: Sink,
    pace: Pace,
    stop: threading.Event,
    progress: Callable[[Played], None] | None = None,
) -> Played:
    """Sends the events when they are due, in their order, and flushes whenever it has to wait.

    Returns when none is left or `stop` is set, after a last flush. Raises what the sink raises.
    """
    sent, at_ms, ahead_s = 0, 0, 0.0
    for event in events:
        if stop.is_set():
            break
        ahead_s = pace.ahead_s(event.at_ms)
        if ahead_s > COARSEST_WAIT_S:
            sink.flush()
            if progress is not None:
                progress(Played(sent, at_ms, pace.elapsed_s(), 0.0))
            ahead_s = pace.ahead_s(event.at_ms)
            if ahead_s > 0 and pace.wait(ahead_s):
                break
        sink.send(event.topic, event.key, event.value)
        sent, at_ms = sent + 1, event.at_ms
        if progress is not None and sent % REPORT_EVERY == 0:
            progress(Played(sent, at_ms, pace.elapsed_s(), max(0.0, -ahead_s)))
    sink.flush()
    return Played(sent, at_ms, pace.elapsed_s(), max(0.0, -ahead_s))
