"""Collects messages of chat logs into blocks, and finds the channel of a file. Never knows a log's format."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from streaming.recorded.formats.format import BadRow, Block
from streaming.recorded.formats.recorded_file import RecordedFile

COLUMNS = frozenset({"at_us", "channel", "viewer", "text"})
NO_MESSAGE = "left out: lines that are no messages"
LONGEST_NAME = 112  # of a file's name as a channel, from which names of rooms are made
_DATE = re.compile(r"[-_. ]?\d{4}-?\d\d-?\d\d$")


class ChatLines:
    """Collects messages, invalid lines and other lines until `block` takes them. For one reader."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._us: list[int | None] = []
        self._channels: list[object] = []
        self._viewers: list[object] = []
        self._texts: list[object] = []
        self._rows: list[int] = []
        self._bad: list[BadRow] = []
        self._remarks: Counter[str] = Counter()

    def add(self, row: int, at_us: int | None, channel: object, viewer: object, text: object) -> None:
        """Adds a message; values that are not in the file are None."""
        self._rows.append(row)
        self._us.append(at_us)
        self._channels.append(channel)
        self._viewers.append(viewer)
        self._texts.append(text)

    def refuse(self, row: int, kind: str, reason: str) -> None:
        """Adds an invalid line, which should be a message."""
        self._bad.append(BadRow(row, kind, reason))

    def text_of(self, row: int, line: bytes) -> str | None:
        """Decodes a line; refuses it and returns None where it is not UTF-8. IRC may cut a message within a letter."""
        try:
            return line.decode()
        except UnicodeDecodeError as err:
            if err.end == len(line) and err.reason == "unexpected end of data":
                return line.decode(errors="replace")
            self.refuse(row, "not UTF-8", f"is not UTF-8 (byte 0x{line[err.start]:02x}); save the file as UTF-8")
            return None

    def leave_out(self, what: str = NO_MESSAGE) -> None:
        """Counts a line that is no message."""
        self._remarks[what] += 1

    def block(self) -> Block:
        """Returns everything since the last block."""
        columns = {"at_us": self._us, "channel": self._channels, "viewer": self._viewers, "text": self._texts}
        block = Block(columns, np.array(self._rows, np.int64), self._bad, self._remarks)
        self._clear()
        return block


def channel_of(file: RecordedFile) -> str:
    """The channel of a file: as given, else its name without date, suffixes and additions of a file system."""
    if file.channel:
        return file.channel
    name = file.path.name
    while Path(name).suffix.lower() in (".gz", ".json", ".jsonl", ".ndjson", ".log", ".txt", ".csv"):
        name = Path(name).stem
    return (_DATE.sub("", name).lstrip("#") or name)[:LONGEST_NAME]
