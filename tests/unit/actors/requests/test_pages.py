"""Tests of pages: while rooms start and end between them no room comes twice, none is dead, and none is left out."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.recommend.schema import MAX_LIMIT, Answer, Query
from actors.requests.cursor import MAX_CURSOR_LENGTH, MOST_SHOWN
from actors.requests.filters import Filters
from actors.settings import IndexConfig, RecommendConfig
from streaming.errors import RequestError
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis


def page(replica: Replica, cursor: str | None, viewer: str = "v", **query: Any) -> Answer:
    asked = Query(viewer=viewer, cursor=cursor, **query)
    return msgspec.json.decode(replica.recommender.recommend_json(asked), type=Answer, strict=True)


def all_pages(replica: Replica, **query: Any) -> list[list[str]]:
    pages, cursor = [], ""
    while True:
        answer = page(replica, cursor, **query)
        pages.append([item.room for item in answer.rooms])
        if answer.cursor is None:
            return pages
        assert isinstance(answer.cursor, str)
        cursor = answer.cursor


CHANGES = st.lists(st.tuples(st.sampled_from(["start", "end", "grow", "again"]), st.integers(0, 60)), max_size=12)


@pytest.mark.parametrize("version", ["v0", "ranker"])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rooms=st.integers(0, 60),
    between=st.lists(CHANGES, max_size=9),
    limits=st.lists(st.integers(1, 20), min_size=1, max_size=9),
    known=st.booleans(),
    filters=st.sampled_from([Filters(), Filters(language="pt"), Filters(mature="any")]),
)
def test_pages_never_repeat_a_room_and_leave_none_out_while_rooms_start_and_end(  # noqa: PLR0917  hypothesis gives them by name
    version: str, rooms: int, between: list[list[tuple[str, int]]], limits: list[int], known: bool, filters: Filters
) -> None:
    replica = Replica(config=RecommendConfig(pool=4, nearest=2, ranked=5))

    def start(number: int, **changes: Any) -> None:
        language, mature = ("pt", "en")[number % 2], number % 5 == 1
        replica.room(f"r{number}", title_vector=axis(number % AXES), language=language, mature=mature, **changes)
        live.add(number)

    live: set[int] = set()
    for number in range(rooms):
        start(number)
    if known:
        replica.viewer("v", "r0", "r1", now_in="r1")
    if version == "ranker":
        put_live(replica, FakeVersion("one"))
    fits = lambda number: (filters.language is None or number % 2 == 0) and (filters.mature or number % 5 != 1)  # noqa: E731
    throughout, seen, cursor, turn = set(live), [], "", 0
    while True:
        answer = page(replica, cursor, limit=limits[turn % len(limits)], filters=filters)
        shown = [int(item.room[1:]) for item in answer.rooms]
        assert set(shown) <= live
        assert len(shown) <= limits[turn % len(limits)]
        seen += shown
        assert len(seen) == len(set(seen))
        if answer.cursor is None:
            break
        assert shown, "a page before the last has rooms"
        assert isinstance(answer.cursor, str)
        cursor = answer.cursor
        for change, number in between[turn] if turn < len(between) else []:
            if change == "end" or (change == "again" and number in live):
                replica.room(f"r{number}", status="ended")
                live.discard(number)
                throughout.discard(number)
            if change in {"start", "again"}:
                start(number)
            elif change == "grow" and number in live:
                start(number, entered=9_000)
        turn += 1
    hidden = {1} if known else set()
    assert {number for number in throughout - hidden if fits(number)} <= set(seen)


def test_pages_end_with_null_and_one_answer_has_no_cursor_at_all() -> None:
    replica = Replica()
    for number in range(5):
        replica.room(f"r{number}")
    assert [len(some) for some in all_pages(replica, limit=2)] == [2, 2, 1]
    assert [len(some) for some in all_pages(replica, limit=5)] == [5]
    assert [len(some) for some in all_pages(Replica(), limit=5)] == [0]
    assert b'"cursor"' not in replica.recommender.recommend_json(Query(viewer="v"))
    first = page(replica, "", limit=2)
    assert [item.room for item in first.rooms] == replica.shown("v", limit=2)


def test_a_thousand_rooms_are_the_most_that_pages_have() -> None:
    replica = Replica(index=IndexConfig(max_rooms=2_000))
    for number in range(1_100):
        replica.room(f"r{number}")
    pages = all_pages(replica, limit=MAX_LIMIT)
    assert len(pages) == MOST_SHOWN // MAX_LIMIT
    assert len({room for some in pages for room in some}) == MOST_SHOWN
    cursor: Any = ""
    for _ in range(MOST_SHOWN // MAX_LIMIT - 1):
        cursor = page(replica, cursor, limit=MAX_LIMIT).cursor
    last = page(replica, cursor, limit=MAX_LIMIT - 1).cursor
    assert isinstance(last, str)
    assert len(last) == 10_679 < MAX_CURSOR_LENGTH


def test_a_cursor_of_one_replica_is_read_by_another_and_by_one_that_has_read_anew() -> None:
    replicas = []
    for order in (range(30), reversed(range(30))):
        replica = Replica()
        for number in order:
            replica.room(f"r{number}")
        replicas.append(replica)
    first = page(replicas[0], "", limit=10)
    assert isinstance(first.cursor, str)
    second = page(replicas[1], first.cursor, limit=30)
    assert {item.room for item in first.rooms}.isdisjoint(item.room for item in second.rooms)
    assert len(second.rooms) == 20


def test_what_is_excluded_may_grow_from_page_to_page() -> None:
    replica = Replica()
    for number in range(9):
        replica.room(f"r{number}")
    first = page(replica, "", limit=2)
    left = [f"r{n}" for n in range(9) if f"r{n}" not in [item.room for item in first.rooms]]
    second = page(replica, first.cursor, limit=9, exclude=left[:3], exclude_streamers=("streamer of " + left[3],))  # type: ignore[arg-type]
    assert {item.room for item in second.rooms} == set(left[4:])
    assert second.cursor is None


@pytest.mark.parametrize("harm", ["cut", "bit", "longer", "noise", "empty", "not ascii", "another version"])
def test_a_cursor_that_is_damaged_is_an_error_that_says_so(harm: str) -> None:
    replica = Replica()
    for number in range(9):
        replica.room(f"r{number}")
    good = page(replica, "", limit=2).cursor
    assert isinstance(good, str)
    raw = bytearray(base64.urlsafe_b64decode(good + "=" * (-len(good) % 4)))
    raw[12] ^= 1
    bad = {
        "cut": good[:-3], "bit": base64.urlsafe_b64encode(raw).decode(), "longer": good + "AAAA", "noise": "!!!!",
        "empty": " ", "not ascii": "é", "another version": good.swapcase(),
    }[harm]  # fmt: skip
    with pytest.raises(RequestError, match="the cursor ") as refused:
        page(replica, bad, limit=2)
    assert refused.value.field == "cursor"
    assert "first page" in refused.value.allowed


def test_a_cursor_of_another_question_is_an_error_that_says_so() -> None:
    replica = Replica()
    for number in range(9):
        replica.room(f"r{number}")
    cursor = page(replica, "", limit=2).cursor
    assert isinstance(cursor, str)
    for other in ({"viewer": "w"}, {"filters": Filters(language="en")}):
        with pytest.raises(RequestError, match="belongs to another viewer or text, or to other filters"):
            page(replica, cursor, **other)  # type: ignore[arg-type]
    assert len(page(replica, cursor, limit=MAX_LIMIT, explain=True).rooms) == 7  # the limit and `explain` may change
