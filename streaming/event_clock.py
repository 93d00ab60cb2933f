"""Owns what time it is for whoever sends events: the clock's, or a recording's own. Never reads a clock."""

from __future__ import annotations

REPLAY_LAG_MS = 3_600_000  # events older than this when they arrive are a recording played with its own times
RECORDED_EVENTS = 3  # viewers' events in a row: one may have been held up, these are a recording's


class EventClock:
    """Takes what events say of the time, and gives theirs for the clock's. Not thread-safe.

    Where a recording is played with its own times, "now" is as much behind the clock as its newest event was when it
    arrived. From one event to the next it goes on as the clock does, so that what has stopped is over there too.
    """

    __slots__ = ("_evidence", "_head_ms", "_lag_ms", "_late")

    def __init__(self, evidence: int = 1) -> None:
        """evidence: events in a row that have to be so late before they are taken for a recording."""
        self._evidence = evidence
        self._head_ms = 0
        self._lag_ms = 0
        self._late = 0

    def note(self, at_ms: int, arrived_ms: int, events: int = 1) -> None:
        """An event, the newest of so many that came together. arrived_ms: its append time."""
        if at_ms <= self._head_ms:
            return
        self._head_ms, self._lag_ms = at_ms, arrived_ms - at_ms
        self._late = self._late + events if self._lag_ms > REPLAY_LAG_MS else 0

    def now_ms(self, clock_ms: int) -> int:
        """The time of the events at clock_ms."""
        return clock_ms - self._lag_ms if self._late >= self._evidence else clock_ms
