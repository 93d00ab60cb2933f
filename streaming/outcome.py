"""The outcomes of applying a record to an aggregate. Never counts them: workers do, once per batch."""

from __future__ import annotations

from enum import IntEnum

MAX_AHEAD_MS = 60_000  # clocks disagree by seconds; a minute ahead of the broker is a wrong clock or a wrong unit


class Outcome(IntEnum):
    """The effect of a record on an aggregate. All but REPLAYED, DUPLICATE and STALE have changed its counts."""

    APPLIED = 0
    REPLAYED = 1  # read again after a restart: changed no count
    DUPLICATE = 2  # the same message or event was applied already
    LATE = 3  # counted, but older than anything in the window: not in any text
    STALE = 4  # outdated: an update before the one in force, a leave from a room already left
    ORPHAN = 5  # applied to a room that has not started
    AFTER_END = 6  # applied to a room that has ended; does not revive it
    RESTARTED = 7  # a start of a room that is live: taken as an update
    REVIVED = 8  # a start, later than its end, of a room that had ended
    ENDED = 9  # the room ended
