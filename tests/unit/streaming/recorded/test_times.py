"""Times of recordings as databases, data frames, Java and spreadsheets write them, in the unit that is said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.recorded.formats.time_text import microseconds
from streaming.recorded.times import read_times

US = 1_739_751_496_177_000  # 2025-02-17T00:18:16.177Z
WHOLE = US - 177_000

SAME_MOMENT = {
    "2025-02-17T00:18:16.177Z": "JSON",
    "2025-02-17 00:18:16.177+00": "PostgreSQL",
    "2025-02-17 05:48:16.177+05:30": "PostgreSQL, India",
    "2025-02-17T05:48:16.177+0530": "polars, strftime %z",
    "2025-02-16 16:18:16.177 -0800": "Snowflake",
    "2025-02-17 00:18:16.177 UTC": "BigQuery",
    "2025-02-17 00:18:16.177 +0000 UTC": "Go",
    "2025-02-17T00:18:16.177000+00:00": "pandas, Python",
    "2025-02-17T00:18:16.177000000Z": "pandas, ns",
    "2025-02-17t00:18:16.177z": "lower case, as RFC 3339 allows",
    "2025-02-17 00:18:16,177": "decimal comma",
    "2025-02-17T00:18:16.177Z[UTC]": "Java, ZonedDateTime",
    "2025-02-17T01:18:16.177+01:00[Europe/Berlin]": "Java, ZonedDateTime",
    "2025-02-17 01:18:16.177 Europe/Berlin": "Trino",
    "2025-02-17T01:18:16.177GMT+1": "offset in words",
    "20250217T001816.177Z": "basic format",
    " 2025-02-17 00:18:16.177 ": "blanks around",
    "2025/02/17 0:18:16.177": "a spreadsheet in Japan",
    "2025-2-17 0:18:16.177": "no leading zeros",
    "2025-02-16T23:18:16.177−01:00": "the minus that ISO 8601 asks for",
    "2025-02-17T00:18:16.1779Z": "four digits",
    "2025-02-17 12:18:16.177 AM": "a spreadsheet in Canada",
    "2025-02-17, 12:18:16.177\u202fa.m.": "JavaScript, toLocaleString",
    "2025.02.17 00:18:16.177": "Hungary",
    "2025-02-17\u00a000:18:16.177Z\u200b": "a blank that does not break",
    "2025-02-17 00:18:16.177 +0000 UTC m=+0.003120": "Go, with its monotonic clock",
    "2025-02-17T01:18:16.177+01:00[Europe/Berlin][u-ca=gregory]": "RFC 9557, JavaScript's Temporal",
    "2025-02-16 16:18:16.177 PST": "R, where the name is one zone's",
}

SAME_SECOND = [
    "Mon, 17 Feb 2025 00:18:16 GMT",  # HTTP, JavaScript's toUTCString
    "Mon, 17 Feb 2025 01:18:16 +0100",  # RFC 5322, Snowflake
    "Mon Feb 17 2025 01:18:16 GMT+0100 (Central European Standard Time)",  # JavaScript
    "Mon Feb 17 00:18:16 UTC 2025",  # Java
    "Sun Feb 16 16:18:16 PST 2025",
    "Mon Feb 17 01:18:16 CET 2025",
    "Mon Feb 17 00:18:16 2025",  # C
    "Mon Feb 17 00:18:16 +0000 2025",  # Twitter
    "Feb 17, 2025, 12:18:16\u202fAM",
    "February 17, 2025 at 12:18:16 AM UTC",
    "17-Feb-2025 00:18:16",
    "17/Feb/2025:00:18:16 +0000",  # Apache's log
]


@pytest.mark.parametrize("text", SAME_MOMENT, ids=SAME_MOMENT.get)
def test_a_moment_is_read_however_it_is_written(text: str) -> None:
    expected = US + (900 if "1779" in text else 0)
    assert microseconds(text) == expected
    assert read_times(pa.array([text]), "at").us_N.tolist() == [expected]
    assert read_times([text], "at").us_N.tolist() == [expected]


def test_one_column_may_mix_all_of_them() -> None:
    times = read_times(pa.array([*SAME_MOMENT, *SAME_SECOND]), "at")
    assert times.wrong == {}
    assert set(times.us_N.tolist()) == {US, US + 900, WHOLE}


@pytest.mark.parametrize("text", SAME_SECOND)
def test_a_month_by_its_name_says_which_number_is_the_day(text: str) -> None:
    assert microseconds(text) == WHOLE


@given(st.datetimes(datetime(1971, 1, 2), datetime(2099, 12, 30)))
def test_any_moment_is_read_as_c_and_mail_write_it(moment: datetime) -> None:
    expected = microseconds(moment.isoformat(timespec="seconds"))
    assert microseconds(moment.ctime()) == expected
    assert microseconds(format_datetime(moment)) == expected
    assert microseconds(moment.strftime("%Y-%m-%d %I:%M:%S %p")) == expected


def test_lists_of_numbers_are_times_as_java_writes_them() -> None:
    lists = [[2025, 2, 17, 0, 18, 16, 177_000_000], [2025, 2, 17, 0, 18], [2025, 2, 17]]
    minute = WHOLE - 16_000_000
    assert read_times(lists, "at").us_N.tolist() == [US, minute, minute - 18 * 60_000_000]
    assert list(read_times([[2025, 2], [2025, 13, 1], [2025, 2, 17, 25, 0]], "at").wrong) == [0, 1, 2]


def test_floats_of_32_bits_are_no_times() -> None:
    for at in (US / 1_000, US / 1_000_000):  # a minute becomes one moment: it looks right and is not
        times = read_times(pa.array([at, at + 1], pa.float32()), "at_ms")
        assert [kind for kind, _ in times.wrong.values()] == ["a shortened number"] * 2


def test_exponents_are_read_where_they_have_all_digits() -> None:
    for texts in (["1.739751496177e+12", "1.7397515e+12"], ["1.7397515E12"]):
        assert read_times(texts, "at_ms").wrong == {}
    for texts in (["1.739751e+12", "1.739752e+12"], ["1.73975150E+12"], ["1.7E+12"]):
        assert list(read_times(texts, "at_ms").wrong) == list(range(len(texts)))


@pytest.mark.parametrize("digits", range(1, 13))
def test_fractions_have_any_number_of_digits(digits: int) -> None:
    part = "123456789123"[:digits]
    expected = WHOLE + int(part[:6].ljust(6, "0"))
    assert read_times(pa.array([f"2025-02-17T00:18:16.{part}Z"]), "at").us_N.tolist() == [expected]


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2025-02-16T24:00:00Z", "2025-02-17T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.5Z"),
        ("2025-02-17", "2025-02-17T00:00:00Z"),
        ("20250217", "2025-02-17T00:00:00Z"),
        ("2025-02-17T00:18", "2025-02-17T00:18:00Z"),
        ("2025-02-17T0018", "2025-02-17T00:18:00Z"),
        ("2025-02-17T01:18:16+01", "2025-02-17T00:18:16Z"),
    ],
)
def test_ends_of_days_leap_seconds_and_short_forms(text: str, same_as: str) -> None:
    times = read_times(pa.array([text]), "at")
    assert (times.us_N.tolist(), times.wrong) == ([microseconds(same_as)], {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yesterday", "not a time; write it as ISO 8601"),
        ("17.02.2025 00:18", "not a time; write it as ISO 8601"),
        ("2/17/2025 0:18", "not a time; write it as ISO 8601"),
        ("2025-02-30T00:00:00Z", "not a day of the calendar"),
        ("2025-13-01", "not a day of the calendar"),
        ("30 Feb 2025", "not a day of the calendar"),
        ("Mon Feb 17 00:18:16 IST 2025", "zone that is not known"),
        ("17-Feb-25 00:18:16", "not a time; write it as ISO 8601"),
        ("2025-02-17 13:18:16 PM", "not a time of day"),
        ("2025-02-17 0:18:16 AM", "not a time of day"),
        ("2025-02-17T25:00:00Z", "not a time of day"),
        ("2025-02-17T24:00:01Z", "not a time of day"),
        ("2025-02-17T00:60:00Z", "not a time of day"),
        ("2025-02-17T00:18:16+19:00", "offset that no zone has"),
        ("2025-02-17T00:18:16+01:60", "offset that no zone has"),
        ("2025-02-17T00:18:16 PXT", "zone that is not known"),
        ("1739751496", "numbers.*call it at_ms.*look like seconds: multiply by 1,000"),
        ("1739751496177", "numbers.*call it at_ms if they are milliseconds"),
        ("", "at is empty"),
        ("1970-01-01T00:00:01.764Z", "1970-01-01T00:00:01.764Z: a number of another unit"),
        ("2199-01-01T00:00:00Z", "outside 1971 to 2100"),
        ("0001-01-01T00:00:00+18:00", "outside 1971 to 2100"),
        ("9999-12-31T24:00:00Z", "outside 1971 to 2100"),
    ],
)
def test_what_is_no_time_is_said_with_its_value(text: str, message: str) -> None:
    times = read_times(pa.array(["2025-02-17T00:18:16Z", text]), "at")
    assert list(times.wrong) == [1]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(times.wrong[1][1])


UNITS: dict[str, list[Any]] = {
    "integers": [1739751496177],
    "floats": [1739751496177.0],
    "text": ["1739751496177"],
    "text of floats, as pandas after dropna": ["1739751496177.0"],
    "text with a decimal comma": ["1739751496177,0"],
    "Java's Double.toString": ["1.739751496177E12"],
    "decimals": [Decimal("1739751496177.00")],
    "unlike ones": [1739751496177, "1739751496177.0", 1739751496177.0],
}


@pytest.mark.parametrize("values", UNITS.values(), ids=UNITS)
def test_milliseconds_may_be_any_kind_of_number(values: list[Any]) -> None:
    times = read_times(values, "at_ms")
    assert (set(times.us_N.tolist()), times.wrong, times.unit) == ({US}, {}, "milliseconds")


@pytest.mark.parametrize(
    ("first", "unit"),
    [
        (1739751496, "seconds"),
        (1739751496.177, "seconds"),
        ("1739751496.177", "seconds"),
        (1739751496177000, "microseconds"),
        (1739751496177000000, "nanoseconds"),
        ("1739751496177000000", "nanoseconds"),
    ],
)
def test_a_column_that_counts_another_unit_is_read_so_and_says_so(first: Any, unit: str) -> None:
    for column in ([first], pa.array([first])):
        times = read_times(column, "at_ms")
        assert (times.us_N.tolist(), times.unit) == ([US if first != 1739751496 else WHOLE], unit)


def test_a_row_in_another_unit_than_those_before_it_is_wrong() -> None:
    times = read_times(pa.array([1739751496177, 1739751496, 1739751496177000]), "at_ms")
    assert {row: kind for row, (kind, _) in times.wrong.items()} == dict.fromkeys((1, 2), "in another unit")
    assert "seconds (2025-02-17T00:18:16.000Z if so)" in times.wrong[1][1]
    assert list(read_times(pa.array([1739751496177]), "at_ms", "seconds").wrong) == [0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "a time of 1970"),
        (59_000, "a time of 1970.*not since the beginning of something"),
        (-1, "outside 1971 to 2100"),
        (10**30, "outside 1971 to 2100"),
        (None, "at_ms is empty"),
        (float("nan"), "at_ms is empty"),
        (float("inf"), "expected milliseconds"),
        (True, "expected milliseconds"),
        ([1739751496177], "expected milliseconds"),
        ("soon", "expected milliseconds"),
        ("2025-02-17T00:18:16Z", "call the column at if it holds times as text"),
        ("1.73975E+12", "a spreadsheet has cut its last digits off"),
        ("1,73975E+12", "a spreadsheet has cut its last digits off"),
    ],
)
def test_what_cannot_be_milliseconds_is_said(value: Any, message: str) -> None:
    times = read_times([1739751496177, value], "at_ms")
    assert list(times.wrong) == [1]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(times.wrong[1][1])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([US // 1_000], pa.timestamp("ms")), US),
        (pa.array([US * 1_000 + 999], pa.timestamp("ns", "UTC")), US),
        (pa.array([US], pa.timestamp("us", "America/New_York")), US),
        (pa.array([WHOLE // 1_000_000], pa.timestamp("s")), WHOLE),
        (pa.array([date(2025, 2, 17)], pa.date32()), microseconds("2025-02-17")),
        (pa.array(["2025-02-17T00:18:16.177Z"], pa.large_string()), US),
        (pa.array(["2025-02-17T00:18:16.177Z"], pa.string_view()), US),
        (pa.array(["2025-02-17T00:18:16.177Z"]).dictionary_encode(), US),
        (pa.array([b"2025-02-17T00:18:16.177Z"], pa.binary()), US),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_columns_of_any_arrow_type_of_time_are_read(column: Any, expected: int) -> None:
    assert read_times(column, "at").us_N.tolist() == [expected]
    assert read_times(pa.chunked_array([column]).combine_chunks(), "at").wrong == {}


def test_a_timestamp_called_at_ms_is_a_timestamp() -> None:
    column = pa.array([datetime(2025, 2, 17, 0, 18, 16, 177_000, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    assert read_times(column, "at_ms").us_N.tolist() == [US]


@given(
    st.datetimes(datetime(1971, 1, 2), datetime(2099, 12, 30)),
    st.integers(0, 9),
    st.sampled_from(["", "Z", "z", "+00", "-08", "+0530", "+05:45", "-03:30"]),
    st.sampled_from(["T", " "]),
    st.sampled_from([".", ","]),
)
def test_the_fast_way_and_the_exact_way_agree(
    moment: datetime, digits: int, zone: str, between: str, point: str
) -> None:
    part = (point + f"{moment.microsecond:06}789"[:digits]) if digits else ""
    text = moment.strftime(f"%Y-%m-%d{between}%H:%M:%S") + part + zone
    fast = read_times(pa.array([text, text]), "at").us_N
    slow = read_times(pa.array([text, text.replace(between, "  ", 1)]), "at").us_N
    assert fast.tolist() == slow.tolist() == [microseconds(text)] * 2
    assert fast.dtype == np.int64


def test_text_that_is_not_utf8_is_no_time() -> None:
    column = pa.array([b"2025-02-17T00:18:16.177Z", b"2025\xf1"], pa.binary()).view(pa.string())
    times = read_times(column, "at")
    assert (times.us_N[0], list(times.wrong)) == (US, [1])
