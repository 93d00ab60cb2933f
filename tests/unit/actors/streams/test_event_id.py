"""Tests of the ids by which clients say what they have."""

from __future__ import annotations

import pytest

from actors.recommend.schema import MAX_LIMIT, Query
from actors.requests.filters import Filters
from actors.streams import event_id

ROOMS = (0, 7, 0xFFFFFFFF)


def asked(viewer: str, limit: int, **filters: str) -> Query:
    return Query(viewer=viewer, limit=limit, filters=Filters(**filters))  # type: ignore[arg-type]


QUESTION = event_id.question_of(asked("v", 5))


@pytest.mark.parametrize("rooms", [(), ROOMS, tuple(range(MAX_LIMIT))], ids=["none", "some", "most"])
def test_what_was_written_is_read(rooms: tuple[int, ...]) -> None:
    text = event_id.write(QUESTION, rooms)
    assert event_id.read(text, QUESTION) == rooms
    assert len(text) <= event_id.MAX_ID_LENGTH
    assert text.isascii()
    assert not set(text) & set(" \r\n\0=")


@pytest.mark.parametrize(
    "other",
    [asked("w", 5), asked("v", 6), asked("v", 5, language="pt")],
    ids=["viewer", "limit", "filters"],
)
def test_an_id_of_another_question_says_nothing(other: Query) -> None:
    assert event_id.read(event_id.write(event_id.question_of(other), ROOMS), QUESTION) is None


GOOD = event_id.write(QUESTION, ROOMS)


@pytest.mark.parametrize(
    "text",
    ["1", "x", "\u00e9", "!!!!", GOOD[:-1], GOOD[4:], GOOD + "AAAA", "A" * 10_000, GOOD[:20] + "A" + GOOD[21:]],
    ids=["number", "letter", "no ascii", "no base64", "cut off", "no beginning", "longer", "too long", "changed"],
)
def test_a_damaged_id_says_nothing(text: str) -> None:
    assert event_id.read(text, QUESTION) is None
