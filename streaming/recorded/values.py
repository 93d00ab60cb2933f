"""Reads ids, texts, numbers and tags of recordings, of whatever type they are in the file. Never reads a time.

A column is an Arrow array or a list of JSON values, of mixed types too. Invalid values are reported by row.
"""

from __future__ import annotations

import ast
import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streaming.events import MAX_ID_LENGTH

EXACT_FLOAT = 2**53  # from here on a float does not hold every integer
_EXACT = {pa.float32(): 2**24, pa.float16(): 2**11}
MOST_DIGITS = 24  # of a float in decimal notation
_HALF = re.compile("[\ud800-\udfff]")  # half of a surrogate pair: an emoji that was cut in two
_FLOAT_ID = re.compile(r"-?\d+\.0")
_SHORT_ID = re.compile(r"-?\d(?:[.,]\d+)?[eE]\+\d{2}")  # shortened by a spreadsheet or data frame: 7.65612E+16
_TRUE = frozenset({"true", "t", "1", "1.0", "yes", "y"})
_FALSE = frozenset({"false", "f", "0", "0.0", "no", "n"})
_OF_NUMPY = re.compile(r"'([^']*)'|\"([^\"]*)\"")


@dataclass(frozen=True, slots=True)
class Values:
    """An Arrow array [N]. wrong: by row, kind and reason of an error; the value is null there."""

    array: Any
    wrong: dict[int, tuple[str, str]] = field(default_factory=dict)


def python_values(column: Any) -> list[Any]:
    """Converts an Arrow array to Python values; a text in it that is not UTF-8 becomes U+FFFD."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        return [_python_value(column[at]) for at in range(len(column))]
    return values


def _python_value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return "\ufffd"


class _Wrong(Exception):
    """A value that cannot be read. Never leaves this module."""


def read_ids(column: Any, name: str, *, required: bool, of_text: bool) -> Values:
    """Reads ids as text. A number becomes its digits, also if a data frame has made it a float: 7, 7.0, "7" are one.

    required: an empty id is wrong, else null. of_text: the file has no types, so that its text 7.0 is such a float too.
    """
    exact = _EXACT.get(getattr(column, "type", None), EXACT_FLOAT)
    values = _converted(column, lambda value: _id(value, name, exact), name, "not an id")
    return _of_length(_of_texts(values, name) if of_text else values, name, required)


def read_texts(column: Any, name: str, *, empty: str | None) -> Values:
    """Reads texts unchanged: one that looks like a date or a number stays text. empty: the value of null."""
    values = _converted(column, lambda value: _text(value, name), name, "not a text")
    if empty is None or values.array.null_count == 0:
        return values
    array = values.array.fill_null(empty)
    return Values(array, values.wrong)


def read_numbers(column: Any, name: str, *, whole: bool, required: bool) -> Values:
    """Reads numbers, also from text and with a decimal comma. whole: integers, also as 3.0. NaN becomes null."""
    kind = pa.int64() if whole else pa.float64()
    array = _as_numbers(column, kind, whole)
    if array is not None:
        values = Values(array)
    else:
        values = _each(column, lambda value: _number(value, name, whole), kind, "not a number")
    if not whole and pc.any(pc.is_inf(values.array)).as_py():
        values = _each(column, lambda value: _number(value, name, whole), kind, "not a number")
    if not whole and pc.any(pc.is_nan(values.array)).as_py():
        values = Values(pc.if_else(pc.is_nan(values.array), pa.scalar(None, kind), values.array), values.wrong)
    return _required(values, name) if required and values.array.null_count else values


def read_booleans(column: Any, name: str) -> Values:
    """Reads booleans, also from text (true, t, yes, 1) and from numbers."""
    if not isinstance(column, list) and pa.types.is_boolean(column.type):
        return Values(column)
    return _each(column, lambda value: _boolean(value, name), pa.bool_(), "not true or false")


def read_tags(column: Any, name: str) -> Values:
    """Reads lists of texts: from lists, from text separated by ;, or from text that is a list in JSON."""
    return _each(column, lambda value: _tags(value, name), pa.list_(pa.string()), "not a list of texts")


def _converted(column: Any, read: Callable[[Any], str | None], name: str, kind: str) -> Values:
    """Converts a column to text: at Arrow's speed where its type allows, else value by value."""
    array = column
    if isinstance(column, list):
        whole = set(map(type, column)) == {int}
        try:
            array = pa.array(column, pa.int64() if whole else pa.string())
        except (pa.ArrowException, UnicodeError, OverflowError):
            return _each(column, read, pa.string(), kind)
        return Values(array.cast(pa.string()) if whole else array)
    of = array.type
    if pa.types.is_dictionary(of):
        of = of.value_type
        if _is_text(of):
            array = array.cast(pa.string())
            of = array.type
    if _is_text(of) or pa.types.is_integer(of):
        return _sound(array if array.type == pa.string() else array.cast(pa.string()), name, kind)
    if pa.types.is_binary(of) or pa.types.is_large_binary(of):
        return _sound(array.cast(pa.binary()).view(pa.string()), name, kind)
    if pa.types.is_null(of):
        return Values(pa.nulls(len(array), pa.string()))
    return _each(array, read, pa.string(), kind)


def _sound(array: Any, name: str, kind: str) -> Values:
    """Checks that text is UTF-8, which Arrow does not. An id that is not is wrong, a text gets U+FFFD."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        raw = array.view(pa.binary()).to_pylist()
        read = (lambda value: _id(value, name)) if kind == "not an id" else (lambda value: _text(value, name))
        return _each(raw, read, pa.string(), kind)
    return Values(array)


def _each(column: Any, read: Callable[[Any], Any], kind: Any, said: str) -> Values:
    held = column if isinstance(column, list) else python_values(column)
    found: list[Any] = []
    wrong: dict[int, tuple[str, str]] = {}
    for index, value in enumerate(held):
        try:
            found.append(None if value is None else read(value))
        except _Wrong as err:
            wrong[index] = (said, str(err))
            found.append(None)
    return Values(pa.array(found, kind), wrong)


def _id(value: Any, name: str, exact: int = EXACT_FLOAT) -> str | None:
    if isinstance(value, str):
        if _HALF.search(value):
            raise _Wrong(f"{name} is {_shown(value)}, which is not Unicode; an id is text or a whole number")
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as err:
            raise _Wrong(f"{name} is {_shown(value)}, which is not UTF-8") from err
    if isinstance(value, float | Decimal) and not math.isnan(value):
        if not math.isfinite(value) or value != int(value):
            raise _Wrong(f"{name} is {_shown(value)}; an id is text or a whole number")
        if isinstance(value, float) and abs(value) >= exact:
            raise _Wrong(f"{name} is {_shown(value)}, a float that has lost digits; write ids as text")
        return str(int(value))
    if (isinstance(value, int) and not isinstance(value, bool)) or isinstance(value, UUID):
        return str(value)
    if isinstance(value, float | Decimal):  # NaN
        return None
    raise _Wrong(f"{name} is {_shown(value)}; an id is text or a whole number")


def _of_texts(values: Values, name: str) -> Values:
    """Applies `_of_text` to all ids, to each distinct one once."""
    known = values.array.dictionary_encode()
    if not pc.any(pc.match_substring_regex(known.dictionary, r"\.0$|[eE]\+")).as_py():
        return values
    read = _each(known.dictionary, lambda value: _of_text(value, name), pa.string(), "not an id")
    if not read.wrong:
        return Values(read.array.take(known.indices), values.wrong)
    read = _each(values.array, lambda value: _of_text(value, name), pa.string(), "not an id")
    return Values(read.array, {**read.wrong, **values.wrong})


def _of_text(value: str, name: str) -> str:
    """Reads an id of a file without types, in which a number may have become a float."""
    lost = _SHORT_ID.fullmatch(value) is not None
    if not _FLOAT_ID.fullmatch(value) and not lost:
        return value
    if lost or len(value) > MOST_DIGITS or abs(int(value[:-2])) >= EXACT_FLOAT:
        raise _Wrong(f"{name} is {_shown(value)}, a float that has lost digits; write ids as text")
    return value[:-2]


def _text(value: Any, name: str) -> str | None:
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict | tuple):
        raise _Wrong(f"{name} is {_shown(value)}, expected text")
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value)


def _number(given: Any, name: str, whole: bool) -> float | None:
    value: Any = given
    if isinstance(given, str):
        if not given.strip():
            return None
        try:
            value = Decimal(given.strip().replace(",", "."))
        except InvalidOperation as err:
            raise _Wrong(f"{name} is {_shown(given)}, expected a number") from err
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _Wrong(f"{name} is {_shown(value)}, expected a number")
    if math.isnan(value):
        return None
    if not math.isfinite(value) or (whole and (value != int(value) or not -(2**63) <= int(value) < 2**63)):
        raise _Wrong(f"{name} is {_shown(value)}, expected a {'whole ' if whole else ''}number")
    return int(value) if whole else float(value)


def _boolean(value: Any, name: str) -> bool | None:
    text = str(int(value) if isinstance(value, float) and value in (0, 1) else value).strip().lower()
    if not text or text == "nan":
        return None
    if text not in _TRUE | _FALSE:
        raise _Wrong(f"{name} is {_shown(value)}, expected true or false")
    return text in _TRUE


def _tags(value: Any, name: str) -> list[str] | None:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, str):
        value = _list_of(value.strip())
    elif isinstance(value, dict) and all(str(place).isdecimal() for place in value):  # an array of PHP or Lua
        value = list(value.values())
    if not isinstance(value, list):
        raise _Wrong(f"{name} is {_shown(value)}, expected a list of texts, or text with ; between")
    tags = [_text(tag, name) for tag in value if tag is not None]
    return [tag for tag in tags if tag is not None]


def _list_of(text: str) -> list[Any]:
    """Parses a list from text: as JSON, Python, numpy or PostgreSQL write it, else separated by ;."""
    if text.startswith("[") and text.endswith("]"):
        for read in (json.loads, _of_numpy, ast.literal_eval):
            try:
                found = read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(found, list):
                return found
    if text.startswith("{") and text.endswith("}") and text.isprintable():
        return [tag for tag in next(csv.reader([text[1:-1]], escapechar="\\"), []) if tag != "NULL"]
    return [tag.strip() for tag in text.split(";") if tag.strip()]


def _of_numpy(text: str) -> list[str]:
    """Parses quoted texts separated by blanks, which Python would join. Raises ValueError at anything else."""
    if not text[1:-1].strip() or _OF_NUMPY.sub("", text[1:-1]).strip():
        raise ValueError(text)
    return [one or other for one, other in _OF_NUMPY.findall(text)]


def _of_length(values: Values, name: str, required: bool) -> Values:
    """Checks the lengths of ids: those that the log does not accept are wrong, and so are missing required ones."""
    lengths = pc.utf8_length(values.array)
    if values.array.null_count == 0:
        bounds = pc.min_max(lengths)
        least: int | None = bounds["min"].as_py()
        most: int = bounds["max"].as_py() or 0
        if least is None or (least >= 1 and most <= MAX_ID_LENGTH):
            return values
    wrong = dict(values.wrong)
    held: list[int | None] = lengths.to_pylist()
    for index, length in enumerate(held):
        if length is None and required:
            wrong.setdefault(index, (f"no {name}", f"{name} is empty; every row needs one"))
        elif (length == 0 and required) or (length or 0) > MAX_ID_LENGTH:
            kind = f"no {name}" if length == 0 else "an id that is too long"
            reason = f"{name} is {length} characters long; an id has 1 to {MAX_ID_LENGTH}"
            wrong.setdefault(index, (kind, reason))
    array = values.array
    if not required and pc.min(lengths).as_py() == 0:
        array = pc.if_else(pc.equal(lengths, 0), pa.scalar(None, pa.string()), array)
    return Values(array, wrong)


def _required(values: Values, name: str) -> Values:
    wrong = dict(values.wrong)
    for index in np.flatnonzero(values.array.is_null().to_numpy(zero_copy_only=False)).tolist():
        wrong.setdefault(index, (f"no {name}", f"{name} is empty; every row needs one"))
    return Values(values.array, wrong)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _as_numbers(column: Any, kind: Any, whole: bool) -> Any:
    """Converts a column of numbers at Arrow's speed; None where each value has to be parsed."""
    try:
        if isinstance(column, list):
            kinds = set(map(type, column)) - {type(None)}
            return pa.array(column, kind) if kinds <= ({int} if whole else {int, float}) else None
        of = column.type
        if _is_text(of) or pa.types.is_integer(of) or (not whole and pa.types.is_floating(of)):
            return column.cast(kind)
    except (pa.ArrowException, OverflowError):
        return None
    return None


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
