"""Reads JSON recordings: an object per line, or one array of objects. Never reads a field that is not requested."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streaming.errors import InputFileError
from streaming.recorded.formats.format import TELLING, BadRow, Block, numbered
from streaming.recorded.formats.recorded_file import Head, Lines, RecordedFile

SUFFIXES = (".jsonl", ".ndjson", ".json")
BLOCK_ROWS = 16_384
SHOWN = 60  # characters of an invalid line in a message
NOT_CLOSED = b"the array is not closed: the file is cut"
_NEXT_OBJECT = re.compile(r"\}\s*,\s*\{")
_NOT_JSON = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)


class JsonLines:
    """JSON lines (https://jsonlines.org), or an array of objects, as `DataFrame.to_json(orient="records")` writes it.

    Deviations of other languages' JSON writers are read as well: NaN, and half of a surrogate pair.
    """

    name = "json-lines"
    title = "JSON lines"
    numbered = "row"
    typed = True
    sparse = True

    def recognises(self, head: Head) -> bool:
        return head.suffix in SUFFIXES or head.data.lstrip()[:1] in (b"{", b"[")

    def columns(self, file: RecordedFile) -> frozenset[str]:
        """The fields that are not null throughout the first few MB."""
        names: set[str] = set()
        bad: list[BadRow] = []
        for lines in as_lines(file):
            for number, line in enumerate(lines.lines, lines.first):
                if line.strip():
                    names.update(field_names(decoded(line, bad, number)))
            break
        if not names:
            said = f"row {bad[0].row}: {bad[0].reason}" if bad else "it holds no row"
            raise InputFileError(f"{file.path}: cannot be read as JSON lines: {said}")
        return frozenset(names)

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        fields = Fields(columns)
        for lines in as_lines(file):
            yield fields.block(lines)


class Fields:
    """Reads the requested fields from lines of JSON."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        row: Any = msgspec.defstruct("Row", [(name, Any, None) for name in names], gc=False)
        self._row = row
        self._decoder: Any = msgspec.json.Decoder(row)

    def block(self, lines: Lines, numbers: Sequence[int] | None = None) -> Block:
        """Reads lines to columns. numbers: the lines' row numbers, if they are not consecutive."""
        bad: list[BadRow] = []
        counted = range(lines.first, lines.first + len(lines.lines)) if numbers is None else numbers
        try:
            rows = self._decoder.decode_lines(b"\n".join(lines.lines))
        except _NOT_JSON:
            rows = []
        if len(rows) != len(lines.lines):  # an empty or invalid line: read one by one
            rows, counted = self._one_by_one(lines.lines, counted, bad)
        columns = {name: list(map(attrgetter(name), rows)) for name in self._names}
        return Block(columns, as_rows(counted), bad)

    def _one_by_one(self, lines: Sequence[bytes], counted: Sequence[int], bad: list[BadRow]) -> Any:
        rows, numbers = [], []
        for number, line in zip(counted, lines, strict=True):
            if not line.strip():
                continue
            try:
                row = self._decoder.decode(line)
            except _NOT_JSON:
                found = decoded(line, bad, number)
                if not isinstance(found, dict):
                    continue
                row = self._row(**{name: found[name] for name in self._names if name in found})
            rows.append(row)
            numbers.append(number)
        return rows, numbers


def as_rows(numbers: Sequence[int]) -> NDArray[np.int64]:
    """Converts row numbers to an array [N] int64."""
    return numbered(numbers.start, len(numbers)) if isinstance(numbers, range) else np.array(numbers, np.int64)


def decoded(line: bytes, bad: list[BadRow] | None, number: int = 0) -> Any:
    """Decodes a line of JSON; None, with an entry in `bad`, where it is no object."""
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as err:
        reason = BadRow(
            number,
            "not UTF-8",
            f"is not UTF-8 (byte 0x{line[err.start]:02x} at {err.start + 1}); save the file as UTF-8",
        )
    except (ValueError, RecursionError) as err:
        reason = BadRow(number, "not JSON", f"is not JSON ({str(err)[:SHOWN]}): {quoted(line)}")
    else:
        if isinstance(value, dict):
            return value
        reason = BadRow(number, "not a JSON object", f"is not a JSON object: {quoted(line)}")
    if bad is not None:
        bad.append(reason)
    return None


def quoted(line: bytes) -> str:
    """The beginning of a line for a message, in ASCII, whatever it holds."""
    text = line[:SHOWN].decode(errors="replace")
    return ascii(text) + ("..." if len(line) > SHOWN else "")


def as_lines(file: RecordedFile) -> Iterator[Lines]:
    """Gives the file's objects as lines, whether they are lines or elements of one array. Raises InputFileError."""
    if not file.head().data.lstrip().startswith(b"["):
        yield from file.line_blocks()
        return
    data = b"".join(file.pieces())
    elements = _elements(file, data)
    for first in range(0, len(elements), BLOCK_ROWS):
        chosen = elements[first : first + BLOCK_ROWS]
        yield Lines(first + 1, [element.replace(b"\n", b" ").replace(b"\r", b" ") for element in chosen])


def _elements(file: RecordedFile, data: bytes) -> list[bytes]:
    """Splits an array into elements. If a killed recorder has left it open, the last element reports that."""
    try:
        return [bytes(element) for element in msgspec.json.decode(data, type=list[msgspec.Raw])]
    except _NOT_JSON:
        return _scanned(file, data)


def _scanned(file: RecordedFile, data: bytes) -> list[bytes]:
    """Splits an array one element at a time with Python's own parser; a broken one is cut to a message's length."""
    try:
        text = data.decode()
    except UnicodeDecodeError as err:
        line = data[: err.start].count(b"\n") + 1
        raise InputFileError(
            f"{file.path}: line {line}: is not UTF-8 (byte 0x{data[err.start]:02x}); save the file as UTF-8"
        ) from err
    found: list[bytes] = []
    decode = json.JSONDecoder().raw_decode
    at = text.index("[") + 1
    while (at := _skipped(text, at, " \t\r\n,")) < len(text) and text[at] != "]":
        try:
            _, end = decode(text, at)
        except (ValueError, RecursionError):
            broken = _NEXT_OBJECT.search(text, at)
            end = broken.start() + 1 if broken else len(text)
            found.append(text[at : min(end, at + SHOWN + 1)].encode() or b" ")
        else:
            found.append(text[at:end].encode())
        at = end
    return found if at < len(text) else [*found, NOT_CLOSED]


def _skipped(text: str, at: int, these: str) -> int:
    while at < len(text) and text[at] in these:
        at += 1
    return at


def field_names(row: Any) -> Iterator[str]:
    """Gives the names of an object's fields, without those of TELLING that are null."""
    return (name for name, value in mapping(row).items() if value is not None or name not in TELLING)


def mapping(value: Any) -> Mapping[str, Any]:
    """Returns the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
