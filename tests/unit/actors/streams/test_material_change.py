"""Tests of what is news to somebody who has a list."""

from __future__ import annotations

import pytest

from actors.recommend.schema import MAX_LIMIT
from actors.streams.material_change import is_material, margin_of

LIST = [*range(10)]
BEHIND = [10, 11]  # the places after a list of ten in which a room is still as good as in it


def moved(room: int, to: int) -> list[int]:
    rooms = [one for one in [*LIST, *BEHIND] if one != room]
    return [*rooms[:to], room, *rooms[to:]][: 10 + margin_of(10)]


@pytest.mark.parametrize(
    ("now", "is_news"),
    [
        ([*LIST, *BEHIND], False),
        (moved(4, 11), False),
        (moved(10, 8), False),
        (moved(10, 7), True),
        (moved(0, 1), False),
        (moved(0, 2), True),
        (moved(2, 0), True),
        (moved(4, 3), False),
        (moved(4, 2), True),
        (moved(8, 3), False),
        ([*LIST[:9], *BEHIND, 12], True),
        ([*LIST[1:], *BEHIND, 12], True),
        ([99, *LIST, 10], True),
        (LIST[:9], True),
        ([*LIST[:8], 98, 99, 8, 9], False),
    ],
    ids=[
        "the same", "one at the edge falls behind it", "one behind the edge comes in at it",
        "one comes in above the edge",
        "the first two change round", "the first is third", "the third is first", "neighbours below change round",
        "one comes up into the first three", "a rise below the first three", "one falls far behind",
        "one is gone", "a new one is first", "one is gone, and none is left behind it", "new ones at the edge",
    ],
)  # fmt: skip
def test_a_change_is_news_where_a_viewer_would_see_it(now: list[int], is_news: bool) -> None:
    assert is_material(LIST, now, 10) is is_news


def test_a_room_is_news_to_who_has_fewer_than_asked_for() -> None:
    assert is_material([1, 2], [1, 2, 3], 10)
    assert is_material([], [1], 10)
    assert is_material(LIST[:9], LIST, 10), "the last place was free, though it is at the edge"
    assert not is_material([], [], 10)
    assert not is_material([1, 2], [1, 2], 10)


def test_of_a_list_of_one_every_other_room_is_news() -> None:
    assert is_material([1], [2], 1)
    assert not is_material([1], [1], 1)


@pytest.mark.parametrize(("limit", "margin"), [(1, 0), (4, 0), (5, 1), (20, 4), (90, 10), (100, 0)])
def test_the_margin_is_a_fifth_of_the_list_within_the_longest_answer(limit: int, margin: int) -> None:
    assert margin_of(limit) == margin
    assert limit + margin_of(limit) <= MAX_LIMIT
