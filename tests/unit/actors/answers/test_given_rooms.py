"""Tests of the order of given rooms: the scores of a recommendation, nothing left out, ended rooms named."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.answers.given_rooms import GivenRooms
from actors.recommend.schema import MAX_LIMIT, Item, Query, RankAnswer, RankQuery
from actors.requests.filters import Filters
from actors.settings import RecommendConfig
from streaming.events import ActivityBucket, ViewerRule
from tests.unit.actors.fake_version import Broken, FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis
from tests.untrained import untrained
from training.inference.served_model import Version

ROOMS = [f"r{number}" for number in range(40)]


def platform(version: str, *, ranked: int = 10) -> Replica:
    replica = Replica(config=RecommendConfig(ranked=ranked))
    bucket_ms = replica.clock.now_ms() // 10_000 * 10_000
    for number, room in enumerate(ROOMS):
        replica.room(
            room, title_vector=axis(number % AXES), category=f"c{number % 5}", language=("en", "pt", "")[number % 3],
            entered=number % 7, recent=(ActivityBucket(bucket_ms, number % 4, number % 3),), mature=number % 9 == 1,
        )  # fmt: skip
    replica.viewer("v", "r3", "r5", "r5", now_in="r5")
    if version == "fake":
        put_live(replica, FakeVersion("one"))
    elif version == "broken":
        put_live(replica, FakeVersion("one"))
        replica.tables.rooms.embeddings.model = Broken("one", "rank")  # type: ignore[misc]
    elif version == "untrained":
        bundle = untrained("one", [f"streamer of {room}" for room in ROOMS], "test", AXES)
        put_live(replica, Version(bundle))  # type: ignore[arg-type]
    return replica


def rank(replica: Replica, rooms: list[str], viewer: str = "v", **more: Any) -> RankAnswer:
    query = RankQuery(viewer=viewer, rooms=tuple(rooms), **more)
    return msgspec.json.decode(GivenRooms(replica.recommender).rank_json(query), type=RankAnswer, strict=True)


@pytest.mark.parametrize("viewer", ["v", "stranger"])
@pytest.mark.parametrize("ranked", [0, 10])
@pytest.mark.parametrize("version", ["v0", "fake", "untrained"])
def test_each_room_has_the_score_of_a_recommendation_and_the_best_comes_first(
    version: str, ranked: int, viewer: str
) -> None:
    replica = platform(version, ranked=ranked)
    asked = Query(viewer=viewer, limit=MAX_LIMIT if version == "v0" else ranked or MAX_LIMIT, explain=True)
    recommended = {item.room: item for item in replica.recommender.recommend(asked).rooms}
    assert len(recommended) >= 10
    answer = rank(replica, ROOMS, viewer, explain=True)
    assert {item.room for item in answer.rooms} == set(ROOMS)
    for item in answer.rooms:
        if item.room in recommended:
            other = recommended[item.room]
            assert item.score == pytest.approx(other.score, abs=1e-4)
            assert item.terms == pytest.approx(other.terms, abs=1e-4)
            assert (item.receipt, item.title) == (other.receipt, other.title)
    scores = [item.score for item in answer.rooms]
    assert scores == sorted(scores, reverse=True)
    assert (answer.known, answer.model_version) == (viewer == "v", "v0" if version == "v0" else "one")


@pytest.mark.parametrize("version", ["v0", "fake", "untrained"])
def test_a_room_has_the_same_score_whatever_it_is_given_with(version: str) -> None:
    replica = platform(version)
    whole = {item.room: item.score for item in rank(replica, ROOMS).rooms}
    for room in ROOMS:
        (alone,) = rank(replica, [room]).rooms
        assert alone.score == pytest.approx(whole[room], abs=1e-4)


def test_a_mature_room_has_the_score_of_a_recommendation_that_asks_for_such() -> None:
    replica = platform("v0")
    asked = Query(viewer="v", limit=MAX_LIMIT, filters=Filters(mature="any"))
    recommended = {item.room: item.score for item in replica.recommender.recommend(asked).rooms if item.mature}
    ranked = {item.room: item.score for item in rank(replica, ROOMS).rooms}
    assert len(recommended) == 5
    assert {room: ranked[room] for room in recommended} == recommended


def test_a_model_ranks_all_of_them_and_not_the_best_few() -> None:
    replica = platform("fake", ranked=2)
    terms = [item.terms for item in rank(replica, ROOMS, explain=True).rooms]
    assert all(isinstance(one, dict) and set(one) == {"enter", "stay", "interact", "dot", "gate"} for one in terms)


def test_a_version_that_fails_is_answered_for_by_the_baseline_and_noted() -> None:
    replica = platform("broken")
    recommended = {item.room: item.score for item in replica.recommender.recommend(Query(viewer="v")).rooms}
    ranked = {item.room: item.score for item in rank(replica, ROOMS).rooms}
    assert ranked.keys() == set(ROOMS)
    assert {room: ranked[room] for room in recommended} == recommended
    assert replica.metrics.value("model_failures_total", version="one", task="requests") == 2


def test_rooms_that_are_not_live_are_named_and_never_scored() -> None:
    replica = platform("v0")
    replica.room("r7", status="ended")
    answer = rank(replica, ["nobody", "r1", "r7", "r1", "nobody", "r2"])
    assert [item.room for item in answer.rooms] in (["r1", "r2"], ["r2", "r1"])
    assert answer.not_live == ["nobody", "r7"]
    assert rank(replica, ["r7"]).rooms == []


@pytest.mark.parametrize("version", ["v0", "fake"])
def test_what_the_viewers_own_rules_forbid_is_named_and_never_scored(version: str) -> None:
    replica = platform(version)
    now_ms = replica.clock.now_ms()
    rules = [
        ViewerRule("hide", "r1", now_ms, True, "r1"),
        ViewerRule("block", "streamer of r2", now_ms, True, "r2"),
    ]
    replica.viewer("streamer of r3", "r5", rules=rules)
    answer = rank(replica, ["r1", "r2", "r3", "r4", "nobody"], "streamer of r3")
    assert [item.room for item in answer.rooms] == ["r4"]
    assert (answer.never_shown, answer.not_live) == (["r1", "r2", "r3"], ["nobody"])
    assert {item.room for item in rank(replica, ["r1", "r2", "r3"]).rooms} == {"r1", "r2", "r3"}


def test_a_reason_is_what_a_recommendation_says_even_of_a_single_room() -> None:
    replica = platform("v0", ranked=0)
    asked = Query(viewer="v", limit=MAX_LIMIT)
    reasons = {item.room: item.reason for item in replica.recommender.recommend(asked).rooms}
    same = sum(rank(replica, [room]).rooms[0].reason == reason for room, reason in reasons.items())
    assert same >= 0.9 * len(reasons)  # the average candidate is another where the given room was none
    assert rank(replica, ["r3"]).rooms[0].reason == "you visited streamer of r3 before"


@pytest.mark.parametrize("version", ["v0", "fake"])
def test_the_written_ranking_is_the_explained_one_without_terms(version: str) -> None:
    replica = platform(version)
    plain, explained = rank(replica, ROOMS), rank(replica, ROOMS, explain=True)
    bare: list[Item] = [msgspec.structs.replace(item, terms=msgspec.UNSET) for item in explained.rooms]
    assert plain.rooms == bare


def test_given_rooms_leave_no_impression_and_change_no_recommendation() -> None:
    replica = platform("v0")
    before = replica.shown("v", limit=MAX_LIMIT)
    rank(replica, ROOMS)
    assert replica.shown("v", limit=MAX_LIMIT) == before
