"""Recognises the unit of a time by its size, and explains a time that is in none. Never reads a clock."""

from __future__ import annotations

from typing import Final

from streaming.events import MAX_AHEAD_MS, MAX_AT_MS, MIN_AT_MS

SINCE_START_MS: Final = 1_000_000_000  # eleven days: less may count from the start of a recording
# Units differ by a factor of 1,000, times from 1990 to 2100 by far less: no unit is taken for another.
_PER_MS: Final = {"milliseconds": 1.0, "seconds": 0.001, "microseconds": 1e3, "nanoseconds": 1e6}


def in_ms(at: float) -> tuple[int, str]:
    """Converts a time to milliseconds since the Unix epoch, and names its unit: that in which it is in 1990 to 2100.

    Less than SINCE_START_MS stays as it is, milliseconds since some start. Raises ValueError for any other.
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
    """The reason why a record appended at appended_ms cannot have happened at at_ms; "" where it can.

    The past is legal, because recordings may keep their times; 1970 is not, on a log of today.
    """
    if at_ms > appended_ms + MAX_AHEAD_MS:
        return f"at_ms {at_ms} is over a minute after it arrived, {appended_ms}: a wrong clock or a wrong unit"
    return _complaint(at_ms) if at_ms < MIN_AT_MS <= appended_ms else ""


def _complaint(at: float) -> str:
    when = "negative" if at < 0 else "after 2100" if at > MAX_AT_MS else "before 1990, as a time since a start would be"
    return f"at_ms is {when}; it must be milliseconds since the Unix epoch, UTC: {str(at)[:24]}"
