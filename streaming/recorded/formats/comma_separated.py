"""Reads CSV recordings, and tells unclosed quotes from texts of several lines. Never converts a value."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from streaming.errors import InputFileError
from streaming.recorded.formats.format import ALL_READ, BadRow, Block, numbered
from streaming.recorded.formats.recorded_file import Head, RecordedFile
from streaming.recorded.formats.time_text import is_time

SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t|"
COUNT = re.compile(r"\s*(?:\d{10,19}(?:[.,]\d*)?|\d[.,]\d+[eE]\+?\d\d)\s*")  # a number of time units since 1970
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # surrogates that Python makes of other bytes
NULL = r"\N"  # as MySQL and PostgreSQL export it
_COLUMNS = frozenset({"at", "at_ms", "viewer", "room", "channel"})
_QUOTED = re.compile(r'"[^"]*"')
_CUT = "a quote is not closed"
_LOOKS_LIKE_ROWS = f"{_CUT}: its text holds more lines, which look like rows"


@dataclass(frozen=True, slots=True)
class _Dialect:
    """The header line, and the delimiter of columns."""

    delimiter: str
    names: tuple[str, ...]
    data_at: int  # byte offset of the first row
    time_at: int  # index of the time's column, -1 for none


class CommaSeparated:
    """CSV of RFC 4180, where a quote in a quoted value is doubled. The delimiter may be ; tab or |, as of spreadsheets.

    An empty line is no row. `pyarrow.csv` reads plain rows; where quotes are irregular, the `csv` module reads row by
    row.
    """

    name = "csv"
    title = "CSV"
    numbered = "row"
    typed = False
    sparse = False

    def recognises(self, head: Head) -> bool:
        if head.suffix in SUFFIXES:
            return True
        return any(_COLUMNS & set(_split(head.data.split(b"\n")[0].decode(errors="replace"), d)) for d in DELIMITERS)

    def columns(self, file: RecordedFile) -> frozenset[str]:
        return frozenset(_dialect(file).names)

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        dialect = _dialect(file)
        rest, first = b"", 1
        for number, piece in enumerate(file.pieces()):
            data = rest + (piece[dialect.data_at :] if number == 0 else piece)
            end = _end_of_plain_rows(data, dialect.delimiter)
            if end is None:  # irregular quotes: from here on row by row
                rows = _RowByRow(dialect, columns, first)
                yield from rows.blocks(_lines_of(data, file, number + 1))
                return
            if end:
                block = _plain(data[:end], dialect, columns, first)
                if block is None:
                    rows = _RowByRow(dialect, columns, first)
                    yield from rows.blocks(_lines_of(data, file, number + 1))
                    return
                yield block
                first += len(block.rows_N)
            rest = data[end:]
        if rest.strip():
            block = (
                _plain(rest, dialect, columns, first) if _end_of_plain_rows(rest + b"\n", dialect.delimiter) else None
            )
            yield from [block] if block else _RowByRow(dialect, columns, first).blocks(iter(rest.splitlines(True)))


def _dialect(file: RecordedFile) -> _Dialect:
    """Reads the header. Raises InputFileError: there is none, it is not UTF-8, or it repeats a column."""
    data = file.head().data
    at = 0
    lines = data.split(b"\n")
    if lines[0].strip().lower().startswith(b"sep=") and len(lines) > 1:  # a spreadsheet's own hint
        at = len(lines.pop(0)) + 1
    line = lines[0].removesuffix(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError as err:
        raise InputFileError(
            f"{file.path}: is not UTF-8: its first line has the byte 0x{line[err.start]:02x}; save it as UTF-8"
        ) from err
    if not text.strip():
        raise InputFileError(f"{file.path}: cannot be read as CSV: its first line, which names the columns, is empty")
    split = {delimiter: _split(text, delimiter) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda one: (len(_COLUMNS & set(split[one])), one == ","))
    names = split[delimiter]
    twice = {name for name in names if name and names.count(name) > 1}
    if twice & ALL_READ:
        raise InputFileError(f"{file.path}: its first line names the column {min(twice & ALL_READ)} twice")
    times = [names.index(name) for name in ("at_ms", "at") if name in names]
    return _Dialect(delimiter, tuple(names), at + len(lines[0]) + 1, times[0] if times else -1)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r")], delimiter=delimiter), [])
    except csv.Error:
        return []


def _end_of_plain_rows(data: bytes, delimiter: str) -> int | None:
    """The end of the last whole row, if all quotes are regular and no row has two lines; else None."""
    end = data.rfind(b"\n") + 1
    held = np.frombuffer(data, np.uint8, end)
    quotes = np.flatnonzero(held == ord('"'))
    if not len(quotes):
        return end
    if len(quotes) % 2:
        return None
    newlines = np.flatnonzero(held == ord("\n"))
    if (np.searchsorted(quotes, newlines) % 2).any():
        return None
    edges = np.zeros(256, bool)
    edges[[ord(delimiter), ord("\n"), ord("\r"), ord('"')]] = True
    opening, closing = quotes[::2], quotes[1::2]
    before = held[opening[opening > 0] - 1]
    after = held[closing + 1]
    return end if edges[before].all() and edges[after].all() else None


def _plain(data: bytes, dialect: _Dialect, columns: Sequence[str], first: int) -> Block | None:
    """Reads rows with `pyarrow.csv`; None where it finds an error."""
    kinds = {name: pa.string() for name in columns}
    try:
        table = pa.csv.read_csv(
            io.BytesIO(data),
            read_options=pa.csv.ReadOptions(
                column_names=_told_apart(dialect.names), block_size=len(data) + 1, use_threads=False
            ),
            parse_options=pa.csv.ParseOptions(delimiter=dialect.delimiter),
            convert_options=pa.csv.ConvertOptions(
                column_types=kinds,
                include_columns=list(columns),
                null_values=[NULL],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    held = {name: _one(table.column(name)) for name in columns}
    return Block(held, numbered(first, len(table)))


def _one(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _told_apart(names: Sequence[str]) -> list[str]:
    """Makes column names unique. Repeated and empty ones are never read."""
    return [name if name and name not in names[:at] else f"\0{at}" for at, name in enumerate(names)]


def _lines_of(data: bytes, file: RecordedFile, piece: int) -> Iterator[bytes]:
    """Gives the lines of the rest of a file, with their ends: of `data`, and of the pieces from `piece` on."""
    lines = data.split(b"\n")
    rest = lines.pop()
    yield from (line + b"\n" for line in lines)
    for number, more in enumerate(file.pieces()):
        if number >= piece:
            lines = (rest + more).split(b"\n")
            rest = lines.pop()
            yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


class _RowByRow:
    """Reads rows with the `csv` module, which finds wrong quotes, and continues at the line after one."""

    BLOCK_ROWS = 16_384

    def __init__(self, dialect: _Dialect, columns: Sequence[str], first: int) -> None:
        self._dialect = dialect
        self._columns = {name: dialect.names.index(name) for name in columns}
        self._row = first - 1
        self._remarks: Counter[str] = Counter()

    def blocks(self, lines: Iterator[bytes]) -> Iterator[Block]:
        rows: list[list[str]] = []
        numbers: list[int] = []
        bad: list[BadRow] = []
        for row in self._rows(lines):
            if isinstance(row, BadRow):
                bad.append(row)
            else:
                rows.append(row)
                numbers.append(self._row)
            if len(rows) + len(bad) >= self.BLOCK_ROWS:
                yield self._block(rows, numbers, bad)
                rows, numbers, bad = [], [], []
        yield self._block(rows, numbers, bad)

    def _block(self, rows: list[list[str]], numbers: list[int], bad: list[BadRow]) -> Block:
        held = {
            name: pa.array([row[at] if row[at] != NULL else None for row in rows], pa.string())
            for name, at in self._columns.items()
        }
        remarks, self._remarks = self._remarks, Counter()
        return Block(held, np.array(numbers, np.int64), bad, remarks)

    def _rows(self, lines: Iterator[bytes]) -> Iterator[list[str] | BadRow]:
        waiting: list[bytes] = []  # lines after a broken one, to be read again
        while True:
            taken: list[bytes] = []
            row = self._next(lines, waiting, taken)
            if row is None:
                return
            if not isinstance(row, BadRow) and not "".join(row).strip() and len(row) < 2:
                continue
            self._row += 1
            if isinstance(row, BadRow) or any(self._looks_like_a_row(line) for line in taken[1:]):
                waiting[:0] = taken[1:]  # the lines after the one with the quote may be valid
                if len(taken) == 1 or self._looks_like_a_row(taken[1]):
                    row = self._as_it_stands(taken[0], row)
                elif not isinstance(row, BadRow):
                    row = BadRow(self._row, _CUT, _LOOKS_LIKE_ROWS)
            yield row if isinstance(row, BadRow) else self._wrong(row) or row

    def _next(self, lines: Iterator[bytes], waiting: list[bytes], taken: list[bytes]) -> list[str] | BadRow | None:
        def text() -> Iterator[str]:
            while line := waiting.pop(0) if waiting else next(lines, b""):
                taken.append(line)
                yield line.decode(errors="surrogateescape")

        try:
            return next(csv.reader(text(), delimiter=self._dialect.delimiter, strict=True), None)
        except csv.Error as err:
            reason = f"{_CUT} or not doubled ({err}); in a quoted value every quote is written twice"
            return BadRow(self._row + 1, _CUT, reason)

    def _as_it_stands(self, line: bytes, broken: list[str] | BadRow) -> list[str] | BadRow:
        """Reads a line with one unclosed quote as if the quote were text, if the line then has all columns."""
        text = line.decode(errors="surrogateescape").rstrip("\r\n")
        values = text.split(self._dialect.delimiter)
        if len(values) == len(self._dialect.names) and sum(_QUOTED.sub("", value).count('"') for value in values) == 1:
            self._remarks["read as they stand: rows with a quote that is not closed"] += 1
            return [value[1:-1] if _QUOTED.fullmatch(value) else value for value in values]
        return broken if isinstance(broken, BadRow) else BadRow(self._row, _CUT, _LOOKS_LIKE_ROWS)

    def _wrong(self, row: list[str]) -> BadRow | None:
        number, names = self._row, self._dialect.names
        if len(row) != len(names):
            return BadRow(
                number, "another number of columns",
                f"has {len(row)} columns, expected {len(names)}: cannot be read as CSV",
            )  # fmt: skip
        for at in self._columns.values():  # columns that are not read may hold anything
            if found := NOT_UTF8.search(row[at]):
                byte = ord(found[0]) - 0xDC00
                return BadRow(number, "not UTF-8", f"is not UTF-8 (byte 0x{byte:02x}); save the file as UTF-8")
        return None

    def _looks_like_a_row(self, line: bytes) -> bool:
        values = line.decode(errors="replace").split(self._dialect.delimiter)
        at = self._dialect.time_at
        return 0 <= at < len(values) and len(values) >= len(self._dialect.names) and _is_time(values[at].strip('"'))


def _is_time(text: str) -> bool:
    return COUNT.fullmatch(text) is not None or is_time(text) is not None
