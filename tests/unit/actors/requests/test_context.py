"""Tests of what a caller knows of a viewer whom the platform does not: it counts as visits just now would."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from actors.answers.given_rooms import GivenRooms
from actors.recommend.schema import MAX_LIMIT, Answer, Query, RankAnswer, RankQuery
from actors.requests.context import Context
from actors.requests.context_profile import profile_of
from actors.requests.filters import Filters
from actors.settings import RecommendConfig
from streaming.events import ActivityBucket, ViewerId
from streaming.log.codec import encode
from streaming.log.topics import VIEWER_PROFILES
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.replica import AXES, Replica, axis
from tests.untrained import untrained
from training.inference.served_model import Version

RECENT = ("r3", "over", "streamer of r5", "streamer of over", "nobody", "r3")


def platform(version: str = "v0") -> Replica:
    replica = Replica(config=RecommendConfig(pool=5, nearest=5, ranked=10))
    bucket_ms = replica.clock.now_ms() // 10_000 * 10_000
    for number in range(40):
        replica.room(
            f"r{number}", title_vector=axis(number % AXES), category=f"c{number % 5}", entered=number % 7,
            language=("en", "pt-BR", "")[number % 3], recent=(ActivityBucket(bucket_ms, number % 4, number % 3),),
        )  # fmt: skip
    replica.room("over", category="c9", title_vector=axis(2))
    replica.room("over", category="c9", title_vector=axis(2), status="ended")
    if version == "fake":
        put_live(replica, FakeVersion("one"))
    elif version == "untrained":
        streamers = [f"streamer of r{number}" for number in range(40)]
        put_live(replica, Version(untrained("one", streamers, "test", AXES)))  # type: ignore[arg-type]
    return replica


def answer(replica: Replica, **query: Any) -> Answer:
    query = {"viewer": "unknown", "limit": MAX_LIMIT, **query}
    return msgspec.json.decode(replica.recommender.recommend_json(Query(**query)), type=Answer)


@pytest.mark.parametrize("version", ["v0", "fake", "untrained"])
def test_recent_rooms_are_visits_just_now(version: str) -> None:
    replica = platform(version)
    context = Context(recent=RECENT)
    profile = profile_of(context, ViewerId("known"), replica.tables.rooms, replica.clock.now_ms())
    assert [visit.room for visit in profile.visits] == ["r3", "", "", "r5", "over", "r3"]  # the latest last
    replica.send(VIEWER_PROFILES, "known", encode(profile))
    ours, theirs = answer(replica, context=context, explain=True), answer(replica, viewer="known", explain=True)
    assert ours.rooms == theirs.rooms
    assert (ours.known, theirs.known) == (False, True)
    assert answer(replica).rooms != [msgspec.structs.replace(item, terms=msgspec.UNSET) for item in ours.rooms]
    ranks = [
        msgspec.json.decode(GivenRooms(replica.recommender).rank_json(query), type=RankAnswer).rooms
        for query in (
            RankQuery(viewer="unknown", rooms=("r1", "r2", "r3"), context=context),
            RankQuery(viewer="known", rooms=("r1", "r2", "r3")),
        )
    ]
    assert ranks[0] == ranks[1]


def test_a_room_where_they_were_and_what_is_like_it_come_first_and_say_so() -> None:
    answered = answer(platform(), context=Context(recent=("r3", "streamer of r1")), explain=True)
    items = {item.room: item for item in answered.rooms}
    assert {*list(items)[:2]} == {"r1", "r3"}
    assert items["r3"].terms["visited"] == pytest.approx(4.5, abs=1e-3)  # type: ignore[index]
    assert items["r8"].reason == "you watch c3"


@pytest.mark.parametrize("version", ["v0", "fake"])
def test_a_known_viewer_is_judged_by_their_profile_alone(version: str) -> None:
    replica = platform(version)
    replica.viewer("v", "r7", "r8")
    context = Context(recent=("r3", "r4"), language="pt")
    assert answer(replica, viewer="v", context=context).rooms == answer(replica, viewer="v").rooms


def test_a_preferred_language_comes_first_even_where_it_is_nowhere_near_the_top() -> None:
    replica = Replica(config=RecommendConfig(pool=5, nearest=5))
    bucket_ms = replica.clock.now_ms() // 10_000 * 10_000
    for number in range(300):
        replica.room(f"hot{number}", language="de", recent=(ActivityBucket(bucket_ms, 90, 10),), entered=900)
    replica.room("pt", language="pt")
    replica.room("br", language="pt_BR")
    context = Context(language="PT")
    items = answer(replica, context=context, limit=10).rooms
    assert {item.room for item in items[:2]} == {"pt", "br"}
    assert {item.reason for item in items[:2]} == {"in pt, as you prefer", "in pt_BR, as you prefer"}
    assert {item.source for item in items[2:]}.isdisjoint({"preferred"})
    explained = answer(replica, context=context, limit=10, explain=True).rooms
    assert [item.terms["language"] for item in explained[:3]] == [3, 3, 0]  # type: ignore[index]
    filtered = answer(replica, context=context, limit=3, filters=Filters(min_audience=0)).rooms
    assert {item.room for item in filtered[:2]} == {"pt", "br"}
    assert "pt" not in [item.room for item in answer(replica, limit=10).rooms]


@pytest.mark.parametrize("version", ["fake", "untrained"])
def test_a_preferred_language_is_so_much_more_of_log_odds_to_a_ranker(version: str) -> None:
    replica = platform(version)
    everything = Query(viewer="unknown", limit=10, explain=True, context=Context(language="pt"))
    rooms = tuple(f"r{number}" for number in range(40))
    ranked: dict[str, RankAnswer] = {
        language: msgspec.json.decode(
            GivenRooms(replica.recommender).rank_json(
                RankQuery(viewer="unknown", rooms=rooms, explain=True, context=Context(language=language))
            ),
            type=RankAnswer,
        )
        for language in ("pt", "xx")
    }
    plain = {item.room: item.terms["enter"] for item in ranked["xx"].rooms}  # type: ignore[index]
    assert all("preferred" not in item.terms for item in ranked["xx"].rooms)  # type: ignore[operator]
    for item in ranked["pt"].rooms:
        assert isinstance(item.terms, dict)
        bonus = 3 if item.language == "pt-BR" else 0
        assert item.terms["preferred"] == bonus
        odds = item.terms["enter"] / (1 - item.terms["enter"]) * math.exp(bonus)
        assert item.score == pytest.approx(odds / (1 + odds), abs=1e-3)
    assert {item.language for item in ranked["pt"].rooms[:10]} == {"pt-BR"}
    assert {item.source for item in ranked["pt"].rooms[:10]} == {"preferred"}
    assert plain.keys() == set(rooms)
    scores = {item.room: item.score for item in ranked["pt"].rooms}
    for item in replica.recommender.recommend(everything).rooms[:10]:
        assert item.score == pytest.approx(scores[item.room], abs=1e-3)
        assert item.language == "pt-BR"


def test_a_language_that_no_room_has_changes_nothing() -> None:
    replica = platform()
    assert answer(replica, context=Context(language="xx")).rooms == answer(replica).rooms
    assert answer(replica, context=Context()).rooms == answer(replica).rooms


def test_a_preferred_language_and_recent_rooms_count_together() -> None:
    items = answer(platform(), context=Context(recent=("r3",), language="pt"), explain=True).rooms
    terms = {item.language: item.terms["language"] for item in items}  # type: ignore[index]
    assert terms["en"] == terms["pt-BR"] == 3


def test_a_viewer_tower_that_fails_makes_a_cold_start_viewer() -> None:
    replica = platform("fake")

    def fails(_: object) -> None:
        raise ValueError("no tower")

    replica.tables.rooms.embeddings.model.viewer = fails  # type: ignore[union-attr, assignment]
    context = Context(recent=("r3",))
    assert [item.room for item in answer(replica, context=context).rooms] == [
        item.room for item in answer(replica).rooms
    ]
