"""Reads Chatterino's chat logs, whose lines have a time of day and no date. Never guesses a time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from streaming.errors import InputFileError
from streaming.recorded.formats.chat_lines import COLUMNS, ChatLines, channel_of
from streaming.recorded.formats.format import Block
from streaming.recorded.formats.json_lines import quoted
from streaming.recorded.formats.recorded_file import Head, RecordedFile
from streaming.recorded.formats.time_text import ZONES, microseconds

_START = re.compile(r"# Start logging at (\d{4}-\d\d-\d\d) (\d\d):(\d\d):(\d\d)\s*(.*)")
_LINE = re.compile(
    r"(?:#(?P<channel>\S+) )?\[(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<part>\d{1,6}))?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?\] (?P<rest>.*)"
)
_SAID = re.compile(r" ?(?:[^\s:]+ )?(?P<viewer>\w+): ?(?P<text>.*)")
_HEAD = re.compile(rb"# (?:Start|Stop) logging at |(?:#\S+ )?\[\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AaPp][Mm])?\] ")
_NAMED_DATE = re.compile(r"(\d{4}-\d\d-\d\d)")
HALF_A_DAY_S = 43_200  # a clock that goes back by more has passed midnight; by less, it was set, or summer time ended
A_DAY_S = 86_400
LATE_S = 60  # a line this much late may lie behind midnight
BACK_S = 1_800  # a clock that goes back by more has left summer time
# One place for each name, such as CET, EST or EDT, of a zone whose clocks change, so that times stay right in a log
# that goes on over a change.
_PLACES = {
    "CET": "Europe/Berlin", "EET": "Europe/Helsinki", "WET": "Europe/Lisbon", "E": "America/New_York",
    "C": "America/Chicago", "M": "America/Denver", "P": "America/Los_Angeles", "AK": "America/Anchorage",
    "AE": "Australia/Sydney", "AC": "Australia/Adelaide", "NZ": "Pacific/Auckland",
}  # fmt: skip
_NAMED_AS = {"CEST": "CET", "MEZ": "CET", "MESZ": "CET", "EEST": "EET", "WEST": "WET"}


class Chatterino:
    """Logs of Chatterino: after `# Start logging at 2025-02-17 00:18:16 CET` lines such as `[00:18:16]  user: text`.

    Format: https://github.com/Chatterino/chatterino2, src/singletons/helper/LoggingChannel.cpp. Times are local times
    of the logging machine. The file is `channel-2025-02-17.log`. Lines without `user:` (subscriptions, time-outs) are
    left out.
    """

    name = "chatterino"
    title = "Chatterino"
    numbered = "line"
    typed = True
    sparse = False

    def recognises(self, head: Head) -> bool:
        lines = head.lines()[:20]
        return bool(lines) and (bool(_HEAD.match(lines[0])) or any(_HEAD.match(line) for line in lines[1:3]))

    def columns(self, file: RecordedFile) -> frozenset[str]:
        return COLUMNS

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        chat, channel = ChatLines(), channel_of(file)
        clock = _Clock(file)
        for lines in file.line_blocks():
            for row, line in enumerate(lines.lines, lines.first):
                text = chat.text_of(row, line.rstrip(b"\r"))
                if text is None:
                    continue
                if text.startswith("# "):
                    clock.started(row, text)
                elif text.strip():
                    _read(chat, row, text, channel, clock)
            yield chat.block()


def _read(chat: ChatLines, row: int, text: str, channel: str, clock: _Clock) -> None:
    line = _LINE.fullmatch(text)
    if line is None:
        chat.refuse(row, "not a line of Chatterino", f"is not a line of Chatterino: {quoted(text.encode())}")
        return
    at_us = clock.at_us(row, line)
    if at_us is None:
        chat.refuse(row, "not a time", f"has no time of day: {quoted(text.encode())}")
        return
    said = _SAID.fullmatch(line["rest"])
    if said is None:
        chat.leave_out()
        return
    chat.add(row, at_us, line["channel"] or channel, said["viewer"], said["text"])


class _Clock:
    """Converts times of day to times, by the day and the zone of the last start. Midnight begins the next day."""

    def __init__(self, file: RecordedFile) -> None:
        self._path = file.path
        self._zone = file.zone
        self._given = file.zone is not None
        named = _NAMED_DATE.findall(file.path.name)
        self._day = _day(named[-1]) if named else None
        self._second = -1  # second of the day of the line before
        self._fold = 0  # 1: the repeated hour at the end of summer time has come once

    def started(self, row: int, text: str) -> None:
        """Reads a line that begins with #: a start of logging has the day and the zone. Raises InputFileError."""
        start = _START.fullmatch(text)
        if start is None:
            return
        self._day = _day(start[1])
        self._second = 3_600 * int(start[2]) + 60 * int(start[3]) + int(start[4])
        self._fold = 0
        if not self._given:
            name = start[5].strip()
            self._zone = self._zone_of(row, name) if name else None

    def at_us(self, row: int, line: re.Match[str]) -> int | None:
        """The time of a line in µs; None where it has none. Raises InputFileError: the day or the zone is not known."""
        hour, minute, second = (int(line[part] or 0) for part in ("hour", "minute", "second"))
        if line["half"]:
            hour = hour % 12 + (12 if line["half"] in "Pp" else 0)
        if hour > 23 or minute > 59 or second > 60:
            return None
        if self._day is None:
            raise InputFileError(
                f"{self._path}: line {row}: nothing says of which day it is: neither a line "
                "'# Start logging at ...' before it nor the file's name, such as channel-2025-02-17.log"
            )
        if self._zone is None:
            raise InputFileError(f"{self._path}: line {row}: nothing says its time zone; give it as --time-zone")
        of_day = 3_600 * hour + 60 * minute + second
        day = self._day
        if 0 <= self._second < LATE_S and of_day - self._second > A_DAY_S - LATE_S:
            day -= timedelta(days=1)
        else:
            if self._second - of_day > HALF_A_DAY_S:
                day = self._day = self._day + timedelta(days=1)
            elif self._second - of_day > BACK_S:
                self._fold = 1
            self._second = of_day
        part = int((line["part"] or "0").ljust(6, "0"))
        moment = (day + timedelta(seconds=of_day)).replace(tzinfo=self._zone, fold=self._fold)
        return round(moment.timestamp()) * 1_000_000 + part

    def _zone_of(self, row: int, name: str) -> tzinfo:
        if name in ZONES:
            return self._place_of(name) or timezone(timedelta(hours=ZONES[name]))
        try:
            ahead_us = microseconds("2000-01-01T00:00:00") - microseconds(f"2000-01-01T00:00:00 {name}")
        except ValueError as err:
            raise InputFileError(
                f"{self._path}: line {row}: {name!a} is not the name of one time zone; "
                "give it as --time-zone, such as --time-zone Europe/Berlin"
            ) from err
        return timezone(timedelta(microseconds=ahead_us))

    def _place_of(self, name: str) -> tzinfo | None:
        """The time zone of a place with that abbreviation on this day, with summer time; None where there is none."""
        place = _PLACES.get(_NAMED_AS.get(name, name)) or _PLACES.get(name.rstrip("SDT"))
        if place is None or self._day is None:
            return None
        zone = ZoneInfo(place)
        for fold in (0, 1):
            started = (self._day + timedelta(seconds=self._second)).replace(tzinfo=zone, fold=fold)
            if started.utcoffset() == timedelta(hours=ZONES[name]):
                self._fold = fold
                return zone
        return None


def _day(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
