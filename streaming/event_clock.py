"""The current event time: the clock's, or a recording's own while one is replayed. Never reads a clock."""

from __future__ import annotations

REPLAY_LAG_MS = 3_600_000  # events older than this on arrival are a replay that keeps its own times
RECORDED_EVENTS = 3  # late viewer events in a row that show a replay; a single one may have been held up


class EventClock:
    """Converts the clock's time to event time, from the times of events that arrive. Not thread-safe.

    While a recording is played with its own times, "now" is as far behind the clock as its newest event was on arrival.
    Between events it advances as the clock does, so that time also passes in a recording that has stopped.
    """

    __slots__ = ("_evidence", "_head_ms", "_lag_ms", "_late")

    def __init__(self, evidence: int = 1) -> None:
        """evidence: how many late events in a row show that a recording is played."""
        self._evidence = evidence
        self._head_ms = 0
        self._lag_ms = 0
        self._late = 0

    def note(self, at_ms: int, arrived_ms: int, events: int = 1) -> None:
        """Notes an event, the newest of `events` that came together. arrived_ms: its append time."""
        if at_ms <= self._head_ms:
            return
        self._head_ms, self._lag_ms = at_ms, arrived_ms - at_ms
        self._late = self._late + events if self._lag_ms > REPLAY_LAG_MS else 0

    def now_ms(self, clock_ms: int) -> int:
        """The event time that corresponds to clock_ms."""
        return clock_ms - self._lag_ms if self._late >= self._evidence else clock_ms
