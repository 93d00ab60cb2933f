"""Reads recorded files, a batch at a time: opens them, checks their values. Never derives events and never sends them.

The columns are listed below (at_ms may stand for at); any others are ignored. Rows need not be in time order, but a
file that is not sorted is read into memory as a whole. A text that is null is empty. Formats of times are in
`streaming/recorded/times.py`, of ids, texts and numbers in `streaming/recorded/values.py`, of files in
`streaming/recorded/formats/`.

    chat           at, channel or room, viewer, text; window (an integer: which recording the row is of) if known
    rooms          at, type (started, updated, ended), room, streamer (an end has none); title, category, language,
                   mature, tags (a list, or text with ";" between) if known
    viewer-events  at, viewer, room, streamer, action (as in docs/kafka.md: enter, leave, watch, ...); seconds, event_id
                   if known
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.errors import InputFileError
from streaming.recorded.formats.format import EVENT_ID, BadRow, Block, Format
from streaming.recorded.formats.known import find_format
from streaming.recorded.formats.recorded_file import RecordedFile
from streaming.recorded.times import MILLISECONDS, Times, read_times
from streaming.recorded.values import Values, read_booleans, read_ids, read_numbers, read_tags, read_texts

_log = logging.getLogger(__name__)
Kind = Literal["chat", "rooms", "viewer-events"]
BATCH_ROWS = 16_384
MAX_BAD_ROWS = 1_000_000  # left out at most: a file with more of them is no such recording


@dataclass(frozen=True, slots=True)
class _Layout:
    """The columns of a kind of recording. `ids` and `texts` must be there, `optional` may."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.ids, *self.texts, *self.optional)


_LAYOUTS: dict[Kind, _Layout] = {
    "chat": _Layout(("viewer",), ("text",), ("channel", "room", "window")),
    "rooms": _Layout(("room",), ("type",), ("streamer", "title", "category", "language", "tags", "mature")),
    "viewer-events": _Layout(("viewer", "room", "streamer"), ("action",), ("seconds", EVENT_ID)),
}
_TIMES = ("at_us", "at_ms", "at")  # the first that is there counts


class Check(Protocol):
    """Finds the rows of a batch that the log would refuse."""

    def __call__(self, batch: dict[str, Any], rows_N: NDArray[np.int64]) -> list[BadRow]:
        """Checks one batch; called for every batch, in the order of the file. rows_N: the rows' numbers."""


class Recording:
    """One recorded file. Opening it checks its columns; reading it checks its values."""

    def __init__(self, file: RecordedFile, kind: Kind, written_as: Format, columns: Sequence[str]) -> None:
        self.path = file.path
        self.kind = kind
        self.columns = frozenset(columns)
        self.checked = False  # whether every row is either valid or left out of every reading
        self.bad: dict[int, BadRow] = {}  # the rows left out
        self.remarks: Counter[str] = Counter()  # counts of lines that were left out, or read otherwise than they stand
        self._unit_said = False
        self._file = file
        self._format = written_as
        self._layout = _LAYOUTS[kind]

    @staticmethod
    def open(
        path: Path,
        kind: Kind = "chat",
        format_name: str | None = None,
        *,
        channel: str | None = None,
        zone: tzinfo | None = None,
    ) -> Recording:
        """Opens a file. Raises InputFileError: no such file, a format that is not known, or a column is missing.

        format_name: None to recognise it. channel: whose chat it is, if not in the file. zone: that of times without
        one, in a format of local times.
        """
        file = RecordedFile(path, channel, zone, kind)
        written_as = find_format(file, format_name)
        recording = Recording(file, kind, written_as, sorted(written_as.columns(file)))
        recording._check_columns()
        return recording

    def batches(self, columns: Sequence[str] = (), order: NDArray[np.int64] | None = None) -> Iterator[dict[str, Any]]:
        """Reads batches of rows: `at_ms` [N] int64, and those of `columns` that the file has, as Arrow arrays.

        "at_us" among `columns`: also the times in microseconds [N] int64, as exact as they are in the file.
        order: the order of rows, which needs the whole file in memory. Raises InputFileError at the first invalid row,
        unless `check` has left it out.
        """
        batches = (dict(batch.columns) for batch in self._batches(columns, None))
        if order is None:
            yield from batches
            return
        held = list(batches)
        whole = {name: _joined([batch[name] for batch in held]) for name in held[0]} if held else {}
        for first in range(0, len(order) if held else 0, BATCH_ROWS):
            yield _taken(whole, order[first : first + BATCH_ROWS])

    def check(self, check: Check | None, *, skip_bad: bool, progress: Callable[[int], None] | None = None) -> None:
        """Reads every row with all columns of its kind, so that errors are found before anything is sent.

        skip_bad: invalid rows are left out of every later reading, and are in `bad`; otherwise the first one raises
        InputFileError. progress: called with the number of rows read.
        """
        self.bad, self.checked = {}, False
        bad: dict[int, BadRow] = {}
        remarks: Counter[str] = Counter()
        read = 0
        for batch in self._batches(self._layout.all, bad if skip_bad else None):
            for one in check(dict(batch.columns), batch.rows_N) if check is not None else ():
                self._refuse(one, bad if skip_bad else None)
            remarks.update(batch.remarks)
            read += len(batch.rows_N)
            if progress is not None:
                progress(read)
        self.bad, self.remarks, self.checked = bad, remarks, True

    def _batches(self, columns: Sequence[str], bad: dict[int, BadRow] | None) -> Iterator[Block]:
        """Reads rows with valid values. bad: collects invalid rows; None to raise at the first that is not left out."""
        time = next(name for name in _TIMES if name in self.columns)
        wanted = [name for name in columns if name in self.columns and name not in _TIMES]
        if self._format.sparse:  # columns may first appear in later rows
            wanted += [name for name in columns if name in self._layout.all and name not in wanted]
        unit: str | None = None
        for block in self._format.blocks(self._file, [time, *wanted]):
            for one in block.bad:
                self._refuse(one, bad)
            times = read_times(block.columns[time], time, unit)
            if unit is None and times.unit is not None:
                unit = times.unit
                self._say_unit(unit)
            yield self._good(block, times, [name for name in wanted if self._is_there(name, block)], columns, bad)

    def _say_unit(self, unit: str) -> None:
        if unit != MILLISECONDS and not self._unit_said:
            self._unit_said = True
            _log.warning("%s: at_ms counts %s, not milliseconds; it is read so", self.path, unit)

    def _good(
        self, block: Block, times: Times, wanted: Sequence[str], asked: Sequence[str], bad: dict[int, BadRow] | None
    ) -> Block:
        rows_N = block.rows_N
        wrong = dict(times.wrong)
        arrays: dict[str, Any] = {"at_ms": times.us_N // 1_000}
        if "at_us" in asked:
            arrays["at_us"] = times.us_N
        for name in wanted:
            values = self._read(block.columns[name], name)
            arrays[name] = values.array
            for index, what in values.wrong.items():
                wrong.setdefault(index, what)
        for index in sorted(wrong):
            self._refuse(BadRow(int(rows_N[index]), *wrong[index]), bad)
        left_out = self.bad if bad is None else bad
        if left_out and (block.bad or wrong or bad is None):
            good = np.array([row not in left_out for row in rows_N.tolist()], np.bool_)
            if not good.all():
                kept = np.flatnonzero(good)
                return Block(_taken(arrays, kept), rows_N[kept], block.bad, block.remarks)
        return Block(arrays, rows_N, block.bad, block.remarks)

    def _read(self, column: Any, name: str) -> Values:
        if name in ("viewer", "room", "channel", "streamer", EVENT_ID):
            required = name != EVENT_ID and (name != "streamer" or self.kind != "rooms")  # an end needs no streamer
            return read_ids(column, name, required=required, of_text=not self._format.typed)
        if name == "tags":
            return read_tags(column, name)
        if name == "mature":
            return read_booleans(column, name)
        if name in ("window", "seconds"):
            return read_numbers(column, name, whole=name == "window", required=name == "window")
        return read_texts(column, name, empty="" if name in self._layout.texts else None)

    def _refuse(self, one: BadRow, bad: dict[int, BadRow] | None) -> None:
        if bad is not None:
            if len(bad) >= MAX_BAD_ROWS:
                raise InputFileError(
                    f"{self.path}: {MAX_BAD_ROWS:,} rows are not as they should be; {self._named(one)}"
                )
            bad.setdefault(one.row, one)
        elif one.row not in self.bad:
            raise InputFileError(f"{self.path}: {self._named(one)}")

    def _named(self, one: BadRow) -> str:
        return f"{self._format.numbered} {one.row}: {one.reason}"

    def _is_there(self, name: str, block: Block) -> bool:
        """Whether the file has the column. A column that identifies the room is in every row, or in none."""
        if name in self.columns:
            return True
        if name not in ("channel", "room", "window"):
            return name in self._layout.optional
        late = [at for at, value in enumerate(block.columns[name]) if value is not None]
        if late and name == "window":
            row = int(block.rows_N[late[0]])
            raise InputFileError(f"{self.path}: {self._format.numbered} {row} is the first with a {name}; all need one")
        return False

    def _check_columns(self) -> None:
        layout = self._layout
        missing = [name for name in (*layout.ids, *layout.texts) if name not in self.columns]
        if not self.columns.intersection(_TIMES):
            missing.insert(0, "at (a timestamp) or at_ms (milliseconds)")
        if self.kind == "chat" and not self.columns & {"channel", "room"}:
            missing.append("channel or room")
        if missing:
            raise InputFileError(
                f"{self.path}: no column {', no column '.join(missing)}. A {self.kind} recording has at or at_ms, "
                f"{', '.join((*layout.ids, *layout.texts))} and may have {', '.join(layout.optional)}; "
                f"this file has {ascii(', '.join(sorted(self.columns)) or 'none')[1:-1]} (read as {self._format.title})"
            )


def _joined(arrays: Sequence[Any]) -> Any:
    if isinstance(arrays[0], np.ndarray):
        return np.concatenate(arrays)
    return pa.chunked_array(arrays).combine_chunks()


def _taken(columns: Mapping[str, Any], chosen_N: NDArray[np.int64]) -> dict[str, Any]:
    rows = pa.array(chosen_N)
    return {
        name: array[chosen_N] if isinstance(array, np.ndarray) else array.take(rows) for name, array in columns.items()
    }
