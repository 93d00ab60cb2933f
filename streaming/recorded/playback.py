"""Plays events into a sink at the pace of their times. Never makes events and never reads files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from streaming.clock import Clock
from streaming.log.codec import Decoder
from streaming.log.log import Sink

GAP_KEPT_S = 1.0  # length of a shortened silence
COARSEST_WAIT_S = 0.025  # events within it are sent together: a flush costs the broker as much as a hundred messages
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
    """Progress of a playback. `behind_s`: how much later than its due time the newest event was sent."""

    events: int
    at_ms: int
    elapsed_s: float
    behind_s: float


class Timeline:
    """Maps recorded times, in their order: the first to `start_ms`, at another speed, with long silences shortened.

    start_ms: None to keep the times as they are. longest_gap_s: None to keep silences; a longer one becomes GAP_KEPT_S.
    """

    def __init__(self, start_ms: int | None = None, speed: float = 1.0, longest_gap_s: float | None = None) -> None:
        self._start_ms = start_ms
        self._speed = speed
        self._longest_gap_ms = float("inf") if longest_gap_s is None else longest_gap_s * 1000
        self._previous_ms: int | None = None
        self._played_ms = 0

    def moved(self, was_ms: int) -> int:
        """The event's new time."""
        return was_ms if self._start_ms is None else self._start_ms + int(self.passed_ms(was_ms))

    def passed_ms(self, was_ms: int) -> float:
        """The delay after the first event at which this one is played, in ms."""
        gap_ms = 0 if self._previous_ms is None else max(0, was_ms - self._previous_ms)
        self._previous_ms = was_ms if self._previous_ms is None else max(was_ms, self._previous_ms)
        if gap_ms > self._longest_gap_ms:
            gap_ms = int(GAP_KEPT_S * 1000)
        self._played_ms += gap_ms
        return self._played_ms / self._speed


class Pace:
    """Due times of events: the first is due at once, the others after it as the timeline spaces them.

    Every due time counts from the first event, so that small delays do not add up.
    timeline: None for as fast as possible. wait: blocks for seconds, true to stop; `stop.wait` of a threading.Event.
    """

    def __init__(self, clock: Clock, timeline: Timeline | None, wait: Callable[[float], bool]) -> None:
        self._clock = clock
        self._timeline = timeline
        self.wait = wait
        self.waits = timeline is not None
        self._started_s: float | None = None

    def due_s(self, at_ms: int) -> float:
        """The event's due time, in seconds since the first. Called once for each event, in their order."""
        if self._started_s is None:
            self._started_s = self._clock.monotonic_s()
        return 0.0 if self._timeline is None else self._timeline.passed_ms(at_ms) / 1000

    def elapsed_s(self) -> float:
        """Seconds since the first event."""
        return 0.0 if self._started_s is None else self._clock.monotonic_s() - self._started_s


def play(
    events: Iterable[Event],
    sink: Sink,
    pace: Pace,
    stop: threading.Event,
    progress: Callable[[Played], None] | None = None,
) -> Played:
    """Sends the events when they are due, in their order, and flushes whenever it has to wait.

    Returns after a last flush, when no event is left or `stop` is set. Raises what the sink raises.
    """
    sent, at_ms, due_s = 0, 0, 0.0
    elapsed_s = 0.0
    for event in events:
        if stop.is_set():
            break
        due_s = pace.due_s(event.at_ms)
        if due_s > elapsed_s:  # the clock is read only then
            elapsed_s = pace.elapsed_s()
        if due_s > elapsed_s + COARSEST_WAIT_S:
            sink.flush()
            if progress is not None:
                progress(Played(sent, at_ms, elapsed_s, 0.0))
            if pace.wait(max(0.0, due_s - pace.elapsed_s())):
                break
            elapsed_s = pace.elapsed_s()
        sink.send(event.topic, event.key, event.value)
        sent, at_ms = sent + 1, event.at_ms
        if progress is not None and sent % REPORT_EVERY == 0:
            elapsed_s = pace.elapsed_s()
            progress(Played(sent, at_ms, elapsed_s, max(0.0, elapsed_s - due_s) if pace.waits else 0.0))
    sink.flush()
    elapsed_s = pace.elapsed_s()
    return Played(sent, at_ms, elapsed_s, max(0.0, elapsed_s - due_s) if pace.waits else 0.0)
