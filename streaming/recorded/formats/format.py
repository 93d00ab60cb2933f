"""The interface of formats of recorded files, which give blocks of raw rows. Never checks their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.recorded.formats.recorded_file import Head, RecordedFile


@dataclass(frozen=True, slots=True)
class BadRow:
    """An invalid row. kind: the sort of mistake, for counts; reason: with the value, for a person."""

    row: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows as columns: Arrow arrays or lists of Python values, all of length N.

    rows_N: each row's number in the file, from 1 (in text logs: its line's). bad: invalid rows, which are not in the
    columns. remarks: counts of lines that were left out, or read otherwise than they stand, by description.
    """

    columns: Mapping[str, Any]
    rows_N: NDArray[np.int64]
    bad: Sequence[BadRow] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


# Columns whose presence decides how times and rooms are read. One that is null in every row counts as absent.
TELLING = frozenset({"at", "at_ms", "room", "channel", "window"})
EVENT_ID = "event_id"  # the id of a record of viewer-events; a table's column id may be anything
# All columns that are read; each may be there once.
ALL_READ = TELLING | {"viewer", "text", "type", "action", "streamer", "title", "category", "language", "tags"} | {
    "mature", "seconds",
}  # fmt: skip


class Format(Protocol):
    """A format of recordings of chat, rooms or viewer events. It keeps no state: one object reads many files."""

    name: str  # its name for `--format`
    title: str  # its name in messages
    numbered: str  # the unit in messages: "row" or "line"
    typed: bool  # whether files distinguish numbers from text
    sparse: bool  # whether a column may first appear in a late row

    def recognises(self, head: Head) -> bool:
        """Whether a file's beginning is of this format. Never raises, whatever the file."""

    def columns(self, file: RecordedFile) -> frozenset[str]:
        """The file's columns, without those of TELLING that are null in every row. Raises InputFileError."""

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        """Reads all rows in the order of the file, with these columns; absent values are None.

        A row that cannot be read is in `bad`. Raises InputFileError where nothing more can be read.
        """


def numbered(first: int, count: int) -> NDArray[np.int64]:
    """Row numbers [count] int64: first, first + 1, ..."""
    return np.arange(first, first + count, dtype=np.int64)
