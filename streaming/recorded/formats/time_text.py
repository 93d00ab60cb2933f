"""Parses a time in any of the common text formats. Never guesses which number of a date is the day.

Formats are ISO 8601 and those of databases, data frames, Java, JavaScript, Go and spreadsheets. Between date and time
stands T, a space or nothing; seconds have any number of digits after a point or comma; AM and PM are read. A zone is
Z, +01, +0100, +01:00, UTC, GMT+1, [Europe/Berlin], CET, or absent, which is UTC. The year comes first, or the month is
an English name: Mon, 17 Feb 2025 00:18:16 GMT. 24:00 is the next day's 0:00, a leap second the second after it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# Hours ahead of UTC. Abbreviations of several zones (CST, IST, BST, AST, ...) are left out: they need an offset.
ZONES = {
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "EET": 2, "EEST": 3,
    "MSK": 3, "EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8,
    "HST": -10, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "ACST": 9.5, "ACDT": 10.5, "AWST": 8,
    "NZST": 12, "NZDT": 13,
}  # fmt: skip

_OF_DAY = r"""(?P<hour>\d{1,2})(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<part>\d*))?)?)?
    (?:\s*(?P<half>[AaPp])\.?[Mm]\b\.?)?"""
_ZONE = r"""\s*(?P<utc>[Zz]|UTC|utc|GMT)?\s*(?P<offset>[+\-−]\d{1,2}(?::?\d\d(?::?\d\d)?)?)?
    (?:(?<=\d)\s+(?:UTC|GMT|Z|[A-Z]{3,4}))?"""
_REGION = r"\s*(?:\[?(?P<region>[A-Z][A-Za-z_+\-]+(?:/[A-Za-z0-9_+\-]+)*)\]?)?"
_AFTER = r"(?:\s*\[!?[a-z-]+=[^\]]*\])*(?:\s+m=[+\-][\d.]+)?\s*"  # RFC 9557; the monotonic clock of Go
_YEAR_FIRST = re.compile(
    rf"""\s*(?P<year>\d{{4}})(?P<sep>[-/.]?)(?P<month>\d{{1,2}})(?P=sep)(?P<day>\d{{1,2}})
    (?:(?:\s*[Tt_]\s*|,?\s+)?{_OF_DAY})?{_ZONE}{_REGION}{_AFTER}""",
    re.VERBOSE | re.ASCII,
)
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: at for at, name in enumerate(_NAMES, 1)}
_MONTH = rf"(?P<month>(?:{'|'.join(_NAMES)})[a-z]*)\.?"
_WEEKDAY = r"\s*(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_DAY_FIRST = re.compile(
    rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?P<sep>[ \-/]){_MONTH}(?P=sep)(?P<year>\d{{4}})(?:(?:,|\s|:)\s*{_OF_DAY})?{_ZONE}"
    rf"{_REGION}(?:\s*\([^)]*\))?\s*",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_MONTH_FIRST = re.compile(
    rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})(?:,?\s+(?:at\s+)?{_OF_DAY})?{_ZONE}{_REGION}"
    r"(?:\s*\([^)]*\))?\s*",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_YEAR_LAST = re.compile(  # C's asctime, Java's Date, Twitter: Mon Feb 17 00:18:16 UTC 2025
    rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}})\s+{_OF_DAY}{_ZONE}{_REGION}\s+(?P<year>\d{{4}})\s*",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_NAMED = (_DAY_FIRST, _MONTH_FIRST, _YEAR_LAST)
_BLANKS = re.compile("[\u00a0\u2009\u202f]")  # blanks that browsers put before AM
_UNSEEN = re.compile("[\u200b\u200e\u200f\u2060\ufeff]")
_LONGEST_OFFSET = timedelta(hours=18)


def microseconds(text: str) -> int:
    """Parses a time to µs since 1970; digits after the sixth of a second are cut off. Raises ValueError, with why."""
    if not text.isascii():
        text = _UNSEEN.sub("", _BLANKS.sub(" ", text))
    found = is_time(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is not a time; write it as ISO 8601 has it, such as 2025-02-17T00:18:16.177Z")
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(f"{quoted(text)} is not a time of day")
        hour = hour % 12 + (12 if found["half"] in "Pp" else 0)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute, second) != (0, 0)):
        raise ValueError(f"{quoted(text)} is not a time of day")
    month = _MONTHS.get(found["month"][:3].lower()) or int(found["month"])
    try:
        day = datetime(int(found["year"]), month, int(found["day"]), tzinfo=UTC)
    except ValueError as err:
        raise ValueError(f"{quoted(text)} is not a day of the calendar") from err
    passed = timedelta(hours=hour, minutes=minute, seconds=second)
    moment = day + passed if day.year < 9999 else day
    us = (moment - EPOCH) // MICROSECOND + int((found["part"] or "0")[:6].ljust(6, "0"))
    return us - _offset_us(found, moment, text)


def is_time(text: str) -> re.Match[str] | None:
    """Matches a text that looks like a time; its parts may still be out of range."""
    found = _YEAR_FIRST.fullmatch(text)
    if found is not None or not any(map(str.isalpha, text)):
        return found
    return next((match for pattern in _NAMED if (match := pattern.fullmatch(text))), None)


def quoted(value: object) -> str:
    """Formats a value for a message, short and in ASCII."""
    text = repr(value) if isinstance(value, str) else str(value)
    return ascii(text).strip("'\"") if len(text) <= 40 else ascii(text[:40]).strip("'\"") + "..."


def _offset_us(found: re.Match[str], moment: datetime, text: str) -> int:
    """The time's offset from UTC in µs."""
    if found["offset"]:
        digits = found["offset"][1:].replace(":", "").zfill(2)
        digits = digits.zfill(len(digits) + len(digits) % 2)
        parts = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
        ahead = timedelta(hours=parts[0], minutes=([*parts, 0])[1], seconds=([*parts, 0, 0])[2])
        if ahead > _LONGEST_OFFSET or any(part > 59 for part in parts[1:]):
            raise ValueError(f"{quoted(text)} has an offset that no zone has")
        return (ahead // MICROSECOND) * (1 if found["offset"][0] == "+" else -1)
    region = found["region"]
    if not region or found["utc"]:
        return 0
    if region in ZONES and region not in ("CET", "EET", "WET", "MET"):  # those are regions too, with summer time
        return round(ZONES[region] * 3_600_000_000)
    try:
        ahead_of = moment.replace(tzinfo=ZoneInfo(region)).utcoffset()
    except (KeyError, ValueError, OSError) as err:
        raise ValueError(f"{quoted(text)} has a zone that is not known; write an offset such as +01:00") from err
    return (ahead_of or timedelta()) // MICROSECOND
