"""Tests that hold ids, texts, numbers and tags of recordings to one meaning, whatever type a file gives them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from streaming.recorded.values import read_booleans, read_ids, read_numbers, read_tags, read_texts


def ids(column: Any, *, of_text: bool = False) -> list[Any]:
    values = read_ids(column, "viewer", required=True, of_text=of_text)
    return [values.wrong[at][1] if at in values.wrong else one for at, one in enumerate(values.array.to_pylist())]


@pytest.mark.parametrize(
    "column",
    [
        [12345, "guest7"],
        ["12345", "guest7"],
        [12345.0, "guest7"],
        [Decimal("12345"), "guest7"],
        pa.array(["12345", "guest7"], pa.large_string()),
        pa.array(["12345", "guest7"], pa.string_view()),
        pa.array(["12345", "guest7"]).dictionary_encode(),
        pa.array([b"12345", b"guest7"], pa.binary()),
    ],
    ids=str,
)
def test_an_id_is_a_number_or_text_in_one_column(column: Any) -> None:
    assert ids(column) == ["12345", "guest7"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([12345], pa.int64()),
        pa.array([12345], pa.uint64()),
        pa.array([12345.0], pa.float64()),
        pa.array([Decimal("12345")], pa.decimal128(20, 0)),
        pa.array([12345], pa.int32()).dictionary_encode(),
        [12345],
        [12345.0],
    ],
    ids=str,
)
def test_a_number_is_its_digits_also_where_a_data_frame_has_made_floats_of_them(column: Any) -> None:
    assert ids(column) == ["12345"]


def test_text_of_a_file_without_types_loses_the_point_that_a_data_frame_has_added() -> None:
    assert ids(pa.array(["12345.0", "v1.0", "1.50"]), of_text=True) == ["12345", "v1.0", "1.50"]
    assert ids(["12345.0"]) == ["12345.0"]  # JSON and Parquet say that it is text


def test_ids_beyond_64_bits_keep_their_digits() -> None:
    assert ids([2**70]) == [str(2**70)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "viewer is empty"),
        (float("nan"), "viewer is empty"),
        ("", "viewer is 0 characters long"),
        ("v" * 129, "viewer is 129 characters long"),
        (1.5, "text or a whole number"),
        (True, "text or a whole number"),
        ({"id": 1}, "text or a whole number"),
        (["a"], "text or a whole number"),
        (1e17, "has lost digits"),
        ("cut \ud83d", "not Unicode"),
    ],
)
def test_what_is_no_id_is_said(value: Any, message: str) -> None:
    good, said = ids(["ana", value])
    assert good == "ana"
    assert message in said


def test_an_id_that_is_not_utf8_is_said_and_a_text_that_is_not_is_mended() -> None:
    raw = pa.array([b"ana", b"se\xf1al"], pa.binary()).view(pa.string())
    assert "not UTF-8" in ids(raw)[1]
    assert read_texts(raw, "text", empty="").array.to_pylist() == ["ana", "se\ufffdal"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2025-02-17", "2025-02-17"),
        ("007", "007"),
        (None, ""),
        (float("nan"), ""),
        ("cut \ud83d", "cut \ufffd"),
        ("😂", "😂"),
        (7, "7"),
        (True, "true"),
    ],
)
def test_a_text_stays_what_it_is(value: Any, text: str) -> None:
    assert read_texts([value, "x"], "text", empty="").array.to_pylist() == [text, "x"]


def test_a_text_that_is_a_list_is_wrong() -> None:
    assert read_texts(["x", ["y"]], "text", empty="").wrong[1][0] == "not a text"


def test_columns_of_nothing_but_null_are_read() -> None:
    assert read_texts(pa.nulls(2), "text", empty="").array.to_pylist() == ["", ""]
    assert ids(pa.nulls(1)) == ["viewer is empty; every row needs one"]


@pytest.mark.parametrize(
    "column", [[1.5, None], ["1.5", ""], ["1,5", None], pa.array([1.5, float("nan")]), pa.array(["1.5", ""])]
)
def test_numbers_may_be_missing_and_may_be_text(column: Any) -> None:
    assert read_numbers(column, "seconds", whole=False, required=False).array.to_pylist() == [1.5, None]


@pytest.mark.parametrize("value", [float("inf"), "fast", True, [1]])
def test_what_is_no_number_is_said(value: Any) -> None:
    assert list(read_numbers([1.0, value], "seconds", whole=False, required=False).wrong) == [1]


@pytest.mark.parametrize("column", [[3], [3.0], ["3"], ["3.0"], pa.array([3], pa.int16()), pa.array([3.0])])
def test_windows_are_whole_numbers_in_any_type(column: Any) -> None:
    assert read_numbers(column, "window", whole=True, required=True).array.to_pylist() == [3]
    assert list(read_numbers([1, 1.5, None], "window", whole=True, required=True).wrong) == [1, 2]


def test_yes_and_no_are_read_as_databases_write_them() -> None:
    column = [True, "true", "t", "TRUE", 1, 1.0, "1.0", "yes", False, "f", 0, "0.0", None, ""]
    assert read_booleans(column, "mature").array.to_pylist() == [True] * 8 + [False] * 4 + [None] * 2
    assert "mature is 'maybe'" in read_booleans(["maybe"], "mature").wrong[0][1]


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b"],
        "a;b",
        " a ; b;",
        '["a", "b"]',
        ["a", None, "b"],
        "['a', 'b']",  # of pandas, a list
        "['a' 'b']",  # of pandas, an array of numpy
        "['a'\n \"b\"]",
        "{a,b}",  # of PostgreSQL
        '{a,"b",NULL}',
        {"0": "a", "1": "b"},  # of PHP and Lua
    ],
)
def test_tags_are_a_list_or_text(value: Any) -> None:
    assert read_tags([value, None], "tags").array.to_pylist() == [["a", "b"], None]


def test_tags_of_arrow_lists_and_of_numbers_are_read() -> None:
    assert read_tags(pa.array([["a"], None, []]), "tags").array.to_pylist() == [["a"], None, []]
    assert read_tags([["a", 1]], "tags").array.to_pylist() == [["a", "1"]]
    assert list(read_tags([{"a": 1}], "tags").wrong) == [0]
    assert read_tags(["[]", "{}", "", "['a"], "tags").array.to_pylist() == [[], [], [], ["['a"]]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2.0**24, 5.0], pa.float32()),
        pa.array([2048.0, 5.0], pa.float32()).cast(pa.float16()),
        pa.array([2.0**53, 5.0], pa.float64()),
        pa.array(["9007199254740992.0", "5"]),
        pa.array(["7.65612E+16", "5"]),
        pa.array(["7,65612E+16", "5.0"]),
        pa.array(["7.656119e+16", "5"]),
        pa.array(["9" * 5_000 + ".0", "5"]),
    ],
    ids=lambda column: f"{column.type} {str(column[0])[:20]}",
)
def test_a_float_that_many_ids_become_is_none(column: Any) -> None:
    lost, kept = ids(column, of_text=True)
    assert (lost.endswith("a float that has lost digits; write ids as text"), kept) == (True, "5")


def test_what_is_wrong_with_one_id_hides_nothing_of_another() -> None:
    raw = pa.array([b"se\xf1al", b"7.65612E+16", b"5.0", None], pa.binary()).view(pa.string())
    not_utf8, lost, kept, empty = ids(raw, of_text=True)
    assert ("not UTF-8" in not_utf8, "lost digits" in lost, kept, "is empty" in empty) == (True, True, "5", True)


def test_a_uuid_is_an_id_in_its_letters() -> None:
    text = "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff"
    raw = pa.array([bytes.fromhex(text.replace("-", ""))], pa.binary(16))
    assert ids(pa.ExtensionArray.from_storage(pa.uuid(), raw)) == [text]
