"""Owns what a format of recorded files is: blocks of rows as they are written. Never checks their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.recorded_formats.recorded_file import Head, RecordedFile


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be taken. kind: the sort of mistake, to count by; reason: with the value, for a person."""

    row: int
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that follow each other, as columns: Arrow arrays or lists of Python values, all of length N.

    rows_N: which row of the file each is, from 1 (for logs of text: which line). bad: rows that are none, which are not
    in the columns. remarks: how many lines were not taken as rows, or otherwise than they stand, and how.
    """

    columns: Mapping[str, Any]
    rows_N: NDArray[np.int64]
    bad: Sequence[BadRow] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)


# Columns whose being there says something: how times and rooms are told. One that is null in every row says nothing.
TELLING = frozenset({"at", "at_ms", "room", "channel", "window"})
EVENT_ID = "event_id"  # the id of a record of viewer-events; what a table calls id may be anything
# What a column may be called that is read; of each there can be one.
ALL_READ = TELLING | {"viewer", "text", "type", "action", "streamer", "title", "category", "language", "tags"} | {
    "mature", "seconds",
}  # fmt: skip


class Format(Protocol):
    """One way in which people keep chat, rooms or viewer events. Holds nothing of a file: one object reads many."""

    name: str  # what `--format` calls it
    title: str  # what messages call it
    numbered: str  # what messages count: "row" or "line"
    typed: bool  # whether a file tells a number from a text
    sparse: bool  # whether a column may first be there far down

    def recognises(self, head: Head) -> bool:
        """Whether a file begins like this. Never raises: a file may be anything."""

    def columns(self, file: RecordedFile) -> frozenset[str]:
        """The columns of the file, without those of TELLING that are null in every row. Raises InputFileError."""

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        """All rows in the order of the file, the columns asked for, None where a row has none.

        A row that cannot be read is in `bad`. Raises InputFileError where nothing more can be read.
        """


def numbered(first: int, count: int) -> NDArray[np.int64]:
    """[count] int64: rows first, first + 1, ..."""
    return np.arange(first, first + count, dtype=np.int64)
