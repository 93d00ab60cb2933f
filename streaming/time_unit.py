"""Tells in which unit a time is, by its size alone, and what is wrong with one that is in none. Never reads a clock."""

from __future__ import annotations

from typing import Final

from streaming.events import MAX_AT_MS, MIN_AT_MS
from streaming.outcome import MAX_AHEAD_MS

SINCE_START_MS: Final = 1_000_000_000  # eleven days: less may count from the start of a recording
# Between 1990 and 2100 the units differ by a thousand and the years by a tenth of it: none is taken for another.
_PER_MS: Final = {"milliseconds": 1.0, "seconds": 0.001, "microseconds": 1e3, "nanoseconds": 1e6}


def in_ms(at: float) -> tuple[int, str]:
    """A time as milliseconds since the Unix epoch, and its unit: the one in which it lies between 1990 and 2100.

    Less than SINCE_START_MS is taken as it is, milliseconds since some start. Raises ValueError for any other.
    """
    for unit, per_ms in _PER_MS.items():
        if MIN_AT_MS * per_ms <= at <= MAX_AT_MS * per_ms:
            if unit == "seconds":
                return round(at * 1_000), unit
            return int(at // int(per_ms)), unit
    if 0 <= at < SINCE_START_MS:
        return int(at), "milliseconds"
    raise ValueError(_complaint(at))


def misplaced(at_ms: int, appended_ms: int) -> str:
    """Why a record that was appended at appended_ms cannot have happened at at_ms; "" where it can.

    The past is legal, because recordings may keep their times; 1970 is not, where the log lives today.
    """
    if at_ms > appended_ms + MAX_AHEAD_MS:
        return f"at_ms {at_ms} is over a minute after it arrived, {appended_ms}: a wrong clock or a wrong unit"
    return _complaint(at_ms) if at_ms < MIN_AT_MS <= appended_ms else ""


def _complaint(at: float) -> str:
    when = "negative" if at < 0 else "after 2100" if at > MAX_AT_MS else "before 1990, as a time since a start would be"
    return f"at_ms is {when}; it must be milliseconds since the Unix epoch, UTC: {str(at)[:24]}"
