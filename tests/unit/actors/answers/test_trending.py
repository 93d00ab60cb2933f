"""Tests of what is trending: the order of the lists that recommendations use, with true reasons, for any filter."""

from __future__ import annotations

from typing import Any

import pytest

from actors.answers.trending import Trending
from actors.recommend.schema import MAX_LIMIT, Query
from actors.requests.filters import Filters
from actors.settings import IndexConfig, RecommendConfig
from streaming.events import ActivityBucket
from tests.unit.actors.replica import Replica


def came(replica: Replica, entered: int, newcomers: int = 0) -> tuple[ActivityBucket, ...]:
    return (ActivityBucket(replica.clock.now_ms() // 10_000 * 10_000, entered, newcomers),)


def trending(replica: Replica, limit: int = 20, **filters: Any) -> list[str]:
    return [item.room for item in Trending(replica.recommender).rooms(limit, Filters(**filters))]


def test_rooms_come_by_who_comes_and_each_says_why() -> None:
    replica = Replica()
    for number in range(9):
        replica.room(f"quiet{number}")
    replica.room("hot", recent=came(replica, 90, 40))
    replica.room("warm", recent=came(replica, 30, 10))
    replica.room("full", entered=5_000)
    items = Trending(replica.recommender).rooms(20)
    assert [item.room for item in items][:3] == ["hot", "warm", "full"]
    assert [(i.source, i.reason) for i in items[:3]] == [
        *[("trending", "trending now")] * 2, ("popular", "popular now"),
    ]  # fmt: skip
    assert {item.reason for item in items[3:]} == {"live now"}
    scores = [item.score for item in items]
    assert scores == sorted(scores, reverse=True)


def test_it_is_the_order_of_the_list_that_candidates_come_from() -> None:
    replica = Replica(index=IndexConfig(max_rooms=1_000), config=RecommendConfig(pool=50))
    for number in range(300):
        replica.room(f"r{number}", recent=came(replica, 7 * number % 301, number % 7), entered=number % 11)
    shown = trending(replica, MAX_LIMIT)
    slots = [replica.tables.rooms.snapshots[room].slot for room in shown]  # type: ignore[index]
    listed = replica.recommender.global_lists.trending.tolist()
    assert slots[:50] == listed
    assert len(shown) == MAX_LIMIT  # more than the pool has


def test_the_score_is_what_all_viewers_share_of_a_recommendation() -> None:
    replica = Replica()
    for number in range(9):
        replica.room(f"r{number}", recent=came(replica, 5 * number), entered=number)
    shared = ("trending", "crowd", "rising")
    terms = {
        item.room: sum(item.terms[term] for term in shared)  # type: ignore[index]
        for item in replica.recommender.recommend(Query(viewer="s", explain=True)).rooms
    }
    for item in Trending(replica.recommender).rooms(20):
        assert item.score == pytest.approx(terms[item.room], abs=1e-4)


def test_a_room_that_just_began_is_not_called_that_because_it_counts_for_nothing_here() -> None:
    replica = Replica()
    replica.room("old")
    replica.room("new", started_at_ms=replica.clock.now_ms())
    assert {item.source for item in Trending(replica.recommender).rooms(5)} == {"live"}


def test_filters_narrow_it_and_mature_rooms_and_ended_ones_are_not_in_it() -> None:
    replica = Replica()
    for number in range(400):
        replica.room(f"hot{number}", recent=came(replica, 90), language="de")
    replica.room("pt", language="pt-BR", category="Chess")
    replica.room("adult", language="pt", recent=came(replica, 900), mature=True)
    replica.room("over", language="pt", recent=came(replica, 900))
    assert trending(replica, language="pt") == ["over", "pt"]
    replica.room("over", status="ended")
    assert trending(replica, language="pt") == trending(replica, category="chess") == ["pt"]
    assert trending(replica, language="pt", mature="any") == ["adult", "pt"]
    assert trending(replica, category="nothing") == []
    without = Trending(replica.recommender).rooms(5, Filters(language="pt"), ("streamer of pt",))
    assert without == []


def test_it_cools_as_time_passes() -> None:
    replica = Replica()
    replica.room("hot", recent=came(replica, 90, 40))
    replica.room("cold")
    first, _ = Trending(replica.recommender).rooms(2)
    assert (first.room, first.score > 0) == ("hot", True)
    replica.clock.advance(700_000)
    assert {item.score for item in Trending(replica.recommender).rooms(2)} == {0.0}
