"""Reads the times of recordings as microseconds, in whatever format they are. Never guesses an ambiguous one.

`at` is a timestamp, or text (`formats/time_text.py`), or a list of numbers as Java writes it: year, month, day, ...
`at_ms` is milliseconds since 1970, also as a float or as text. Seconds, microseconds and nanoseconds are recognised
there: from 2000 to 2100 no number fits two units. The first row decides the unit. A row in another unit is refused,
and so is every time outside 1971 to 2100, because a wrong unit would go unnoticed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streaming.events import MAX_AT_MS
from streaming.recorded.formats.time_text import EPOCH, MICROSECOND, is_time, microseconds, quoted
from streaming.recorded.values import python_values

FIRST_AT_MS = 31_536_000_000  # 1971: a time of 1970 is in another unit, or counts from some start
YEAR_2000_S = 946_684_800
_UNITS = {"seconds": 1_000, "milliseconds": 1, "microseconds": 1 / 1_000, "nanoseconds": 1 / 1_000_000}
_CHANGE = {"seconds": "multiply by 1,000", "microseconds": "divide by 1,000", "nanoseconds": "divide by 1,000,000"}
MILLISECONDS = "milliseconds"
_PLAIN = (  # the format of most files; parsed by Arrow
    r"^(?P<date>\d{4}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,9}))?"
    r"(?P<zone>[Zz]|[+-]\d\d(?::?[0-5]\d)?)?$"
)
_COUNT = re.compile(r"\s*([+-]?)(\d+)(?:[.,](\d*))?(?:[eE]([+-]?)(\d{1,2}))?\s*", re.ASCII)
MAX_KNOWN = 65_536  # cached texts of times: rows of one second often share one
SHORTENED_DIGITS = 9  # or fewer are left by a narrow column, or by C's %e: 1.73975E+12 is a time within days


@dataclass(frozen=True, slots=True)
class Times:
    """Times [N] int64 in microseconds since 1970.

    wrong: by row, kind and reason of an error; the time is 0 there. unit: what the column counts; None where it counts
    nothing, or where no row is good.
    """

    us_N: NDArray[np.int64]
    wrong: dict[int, tuple[str, str]] = field(default_factory=dict)
    unit: str | None = None


def read_times(column: Any, name: str, unit: str | None = None) -> Times:
    """Reads the column `name`, an Arrow array or a list of JSON values. Never raises.

    unit: the unit of earlier rows, None for the first.
    """
    held = _as_array(column) if isinstance(column, list) else column
    if not isinstance(held, list) and pa.types.is_dictionary(held.type):
        held = held.cast(held.type.value_type)
    if isinstance(held, list):
        return _one_by_one(held, name, unit)
    return _all_at_once(held, name, unit) or _one_by_one(_values(held), name, unit)


def _all_at_once(column: Any, name: str, unit: str | None) -> Times | None:
    """Reads a column of one type at numpy's speed; None where each value has to be parsed."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _checked(_microseconds(column), column, name)
    if pa.types.is_integer(kind) and kind != pa.uint64() and name == "at_us":
        return _checked(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), column, name)
    if pa.types.is_integer(kind) and kind != pa.uint64() and name == "at_ms" and column.null_count == 0:
        return _all_of_one_unit(column.cast(pa.int64()).to_numpy(zero_copy_only=False), unit)
    if name == "at_ms" and kind in (pa.float32(), pa.float16()):
        said = f"at_ms holds {kind} numbers, which tell no two minutes apart; write them as int64"
        return Times(np.zeros(len(column), np.int64), dict.fromkeys(range(len(column)), ("a shortened number", said)))
    if name == "at" and _is_text(kind) and (plain := _all_plain(column)) is not None:
        return _checked(plain, column, name)
    return None


def _values(column: Any) -> list[Any]:
    values = python_values(column)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return [value.decode(errors="replace") if value is not None else None for value in values]
    return values


def unit_of(count: float) -> str | None:
    """The unit in which a number is a time of this century: seconds, milliseconds, ...; None where there is none."""
    for unit, as_ms in _UNITS.items():
        if YEAR_2000_S * 1_000 <= count * as_ms <= MAX_AT_MS:
            return unit
    return None


def _as_array(values: list[Any]) -> Any:
    """Converts JSON values to an Arrow array if they are all of one type, else returns them."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds not in ({int}, {str}):
        return values
    try:
        return pa.array(values, pa.int64() if kinds == {int} else pa.string())
    except (pa.ArrowException, UnicodeError, OverflowError):
        return values


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _microseconds(column: Any) -> NDArray[np.int64]:
    """Converts timestamps and dates of any unit, nulls to 0. A timestamp without a zone is UTC."""
    unit = getattr(column.type, "unit", None)
    if pa.types.is_date(column.type):
        column, unit = column.cast(pa.timestamp("ms")), "ms"
    column = column if column.null_count == 0 else column.fill_null(pa.scalar(0, column.type))
    held: NDArray[np.int64] = column.view(pa.int64()).to_numpy(zero_copy_only=False)
    if unit == "ns":
        return held // 1_000
    factor = {"s": 1_000_000, "ms": 1_000, "us": 1}[str(unit)]
    return held if factor == 1 else held * factor


def _all_plain(column: Any) -> NDArray[np.int64] | None:
    """Parses text that is all in the usual format, at Arrow's speed; None where some is not."""
    try:
        parts = pc.extract_regex(column.cast(pa.string()), pattern=_PLAIN)
    except pa.ArrowInvalid:  # not UTF-8
        return None
    if parts.null_count != column.null_count:
        return None
    dates, times, part, zone = (parts.field(name) for name in ("date", "time", "part", "zone"))
    try:
        whole = pc.cast(pc.binary_join_element_wise(dates, times, " "), pa.timestamp("s"))
    except pa.ArrowInvalid:  # the 30th of February, 24:00, a leap second: to be parsed one by one
        return None
    us: NDArray[np.int64] = (
        whole.fill_null(pa.scalar(0, whole.type)).view(pa.int64()).to_numpy(zero_copy_only=False) * 1_000_000
    )
    digits = pc.utf8_slice_codeunits(pc.utf8_rpad(part.fill_null(""), 6, "0"), 0, 6)
    us += digits.cast(pa.int64()).to_numpy(zero_copy_only=False)
    zones = zone.fill_null("").dictionary_encode()
    try:
        ahead = [microseconds(f"2000-01-01T00:00:00{text}") for text in zones.dictionary.to_pylist()]
    except ValueError:
        return None
    at_zero = microseconds("2000-01-01T00:00:00")
    moved = np.array([one - at_zero for one in ahead], np.int64)
    us += moved[zones.indices.to_numpy(zero_copy_only=False)]
    return us


def _checked(us_N: NDArray[np.int64], column: Any, name: str) -> Times:
    """Checks times of a known unit: missing ones, and those outside 1971 to 2100, are wrong."""
    wrong: dict[int, tuple[str, str]] = {}
    if column.null_count:
        for index in np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist():
            wrong[index] = _empty(name)
    if len(us_N) and (us_N.min() < FIRST_AT_MS * 1_000 or us_N.max() > MAX_AT_MS * 1_000):
        outside = np.flatnonzero((us_N < FIRST_AT_MS * 1_000) | (us_N > MAX_AT_MS * 1_000))
        for index in outside.tolist():
            wrong.setdefault(index, _outside(int(us_N[index]), name))
    return Times(np.where(np.isin(np.arange(len(us_N)), list(wrong)), 0, us_N) if wrong else us_N, wrong)


def _all_of_one_unit(counts_N: NDArray[np.int64], unit: str | None) -> Times | None:
    """Converts integers that are all valid times of one unit, at numpy's speed; None where some are not."""
    if not len(counts_N):
        return Times(counts_N)
    unit = unit or (
        MILLISECONDS if counts_N[0] >= FIRST_AT_MS and counts_N[0] <= MAX_AT_MS else unit_of(int(counts_N[0]))
    )
    if unit is None:
        return None
    least, most = (FIRST_AT_MS if unit == MILLISECONDS else YEAR_2000_S * 1_000), MAX_AT_MS
    least, most = (round(bound / _UNITS[unit]) for bound in (least, most))
    if counts_N.min() < least or counts_N.max() > most:
        return None
    return Times(counts_N // 1_000 if unit == "nanoseconds" else counts_N * round(_UNITS[unit] * 1_000), unit=unit)


def _one_by_one(values: list[Any], name: str, unit: str | None) -> Times:
    us: list[int] = []
    wrong: dict[int, tuple[str, str]] = {}
    known: dict[str, int] = {}
    shortened = name == "at_ms" and _are_shortened(values)
    for index, value in enumerate(values):
        try:
            if isinstance(value, str) and value in known:
                us.append(known[value])
                continue
            if name == "at_ms":
                count = _count(value, name, shortened=shortened)
                unit = unit or _first_unit(count, value)
                found = _counted_us(count, value, unit)
            else:
                found = _read_moment(value, name)
            if isinstance(value, str) and len(known) < MAX_KNOWN:
                known[value] = found
            us.append(found)
        except _Wrong as err:
            wrong[index] = (err.kind, str(err))
            us.append(0)
    return Times(np.array(us, np.int64), wrong, unit)


def _are_shortened(values: list[Any]) -> bool:
    """Whether numbers with an exponent have lost digits, which shows where all of them have few."""
    found = [_COUNT.fullmatch(value) for value in values if isinstance(value, str) and "+" in value]
    digits = [len(one[2]) + len(one[3] or "") for one in found if one is not None and one[4] == "+"]
    return bool(digits) and max(digits) <= SHORTENED_DIGITS


class _Wrong(Exception):
    """A value that is no time. Never leaves this module."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def _read_moment(value: Any, name: str) -> int:
    """Reads a value of `at`, in µs."""
    if isinstance(value, list) and 3 <= len(value) <= 7 and all(type(part) is int for part in value):  # of Jackson
        year, month, day, hour, minute, second, nanos = (*value, 0, 0, 0, 0)[:7]
        value = f"{year:04}-{month}-{day} {hour}:{minute:02}:{second:02}.{nanos:09}"
    if value is None or (isinstance(value, str) and not value.strip()) or value != value:  # noqa: PLR0124  NaN
        raise _Wrong(*_empty(name))
    if isinstance(value, str) and not _COUNT.fullmatch(value):
        try:
            us = microseconds(value)
        except (ValueError, OverflowError) as err:
            raise _Wrong("not a time", f"{name}: {err}") from err
    elif isinstance(value, str) and len(value.strip()) == 8 and value.strip().isdecimal():
        us = microseconds(value)
    elif name == "at_us" and type(value) is int:  # in a column where another value is too large for its type
        us = value
    else:
        raise _Wrong("a number instead of a time", _number_as_time(value, name))
    if not FIRST_AT_MS * 1_000 <= us <= MAX_AT_MS * 1_000:
        raise _Wrong(*_outside(us, name))
    return us


def _number_as_time(value: Any, name: str) -> str:
    if name == "at_us":
        return f"the time is {quoted(value)}, which is not a whole number of microseconds"
    try:
        count = float(str(value).replace(",", "."))
    except ValueError:
        return f"column {name} holds {quoted(value)}, which is not a time"
    said = f"column {name} holds numbers ({quoted(value)}); call it at_ms if they are milliseconds"
    unit = unit_of(count)
    return (
        said if unit in (None, "milliseconds") else f"{said}, but these look like {unit}: {_CHANGE[unit or '']} first"
    )


def _count(value: Any, name: str, *, shortened: bool) -> Decimal:
    """Reads a value of `at_ms` as an exact number. shortened: values with an exponent have lost digits."""
    if value is None or (isinstance(value, str) and not value.strip()) or value != value:  # noqa: PLR0124  NaN
        raise _Wrong(*_empty(name))
    if isinstance(value, datetime):
        epoch = EPOCH if value.tzinfo else EPOCH.replace(tzinfo=None)
        return Decimal((value - epoch) // MICROSECOND) / 1_000
    if isinstance(value, str):
        found = _COUNT.fullmatch(value)
        if found is None:
            said = "; call the column at if it holds times as text" if is_time(value) else ""
            raise _Wrong("not a time", f"column {name} holds {quoted(value)}, expected milliseconds since 1970{said}")
        if shortened and found[4] == "+":
            said = f"{name} is {quoted(value)}: a spreadsheet has cut its last digits off, or who printed it"
            raise _Wrong("a shortened number", said)
        return Decimal(value.strip().replace(",", "."))
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise _Wrong("not a time", f"{name} is {quoted(value)}, expected milliseconds since 1970")
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _first_unit(count: Decimal, value: Any) -> str:
    """The unit of the first good row, which holds for all rows."""
    if FIRST_AT_MS <= count <= MAX_AT_MS:
        return MILLISECONDS
    unit = unit_of(float(count))
    if unit is None:
        raise _Wrong(*_no_time(count, value))
    return unit


def _counted_us(count: Decimal, value: Any, unit: str) -> int:
    ms = (
        count * {"seconds": 1_000, MILLISECONDS: 1}[unit]
        if unit in ("seconds", MILLISECONDS)
        else count / (1_000 if unit == "microseconds" else 1_000_000)
    )
    if (FIRST_AT_MS if unit == MILLISECONDS else YEAR_2000_S * 1_000) <= ms <= MAX_AT_MS:
        return int(ms * 1_000)
    other = unit_of(float(count))
    if other is not None and other != unit:
        raise _Wrong(
            "in another unit",
            f"at_ms is {quoted(value)}, which is {other} ({_day(float(count) * _UNITS[other])} if so), "
            f"while the rows before it count {unit}",
        )
    raise _Wrong(*_no_time(count, value))


def _no_time(count: Decimal, value: Any) -> tuple[str, str]:
    if 0 <= count < FIRST_AT_MS:
        return (
            "of 1970",
            f"at_ms is {quoted(value)}, which is a time of 1970; it counts milliseconds since 1970, "
            "not since the beginning of something, and not seconds of another clock",
        )
    return "out of range", f"at_ms is {quoted(value)} ms, which lies outside 1971 to 2100"


def _empty(name: str) -> tuple[str, str]:
    return "no time", f"{_called(name)} is empty; every row needs a time"


def _outside(us: int, name: str) -> tuple[str, str]:
    day = _day(us / 1_000)
    if 0 <= us < FIRST_AT_MS * 1_000:
        return (
            "of 1970",
            f"{_called(name)} is {day}: a number of another unit was taken for nanoseconds or milliseconds",
        )
    return "out of range", f"{_called(name)} is {day}, which lies outside 1971 to 2100"


def _called(name: str) -> str:
    return "the time" if name == "at_us" else name


def _day(ms: float) -> str:
    try:
        return str(np.datetime64(int(ms), "ms")) + "Z"
    except (ValueError, OverflowError):
        return f"{ms:.0f} ms"
