"""Tests of a version that the caller names: which it can be, what it orders, and what is noted of it."""

from __future__ import annotations

import msgspec
import pytest

from actors.recommend.impressions import Impressions
from actors.recommend.recommender import Query, Recommender
from actors.recommend.schema import Answer
from actors.requests.goals import Goals
from actors.settings import RecommendConfig
from streaming.errors import RequestError
from streaming.log.codec import Decoder
from streaming.log.topics import IMPRESSIONS
from tests.unit.actors.requests.test_goals import learned
from tests.unit.actors.requests.test_treatments import ORDER, VIEWERS, by_variant
from tests.unit.actors.swap_world import World


def terms_of(answer: Answer) -> set[str]:
    terms = answer.rooms[0].terms
    assert isinstance(terms, dict)
    return set(terms)


def test_the_baseline_ranks_where_it_is_named_and_the_live_version_where_that_or_none_is() -> None:
    replica = learned()
    asked = {
        name: replica.recommender.recommend(Query(viewer="v", limit=40, explain=True, version=name))
        for name in ("", "one", "v0")
    }
    orders = {name: [item.room for item in answer.rooms] for name, answer in asked.items()}
    assert orders[""] == orders["one"] != orders["v0"]
    assert set(orders["v0"]) == set(orders["one"])
    assert "enter" in terms_of(asked["one"])
    assert "crowd" in terms_of(asked["v0"])
    assert {name: answer.model_version for name, answer in asked.items()} == {"": "one", "one": "one", "v0": "v0"}


@pytest.mark.parametrize("explain", [False, True])
def test_receipts_name_the_version_whose_vectors_the_rooms_have(explain: bool) -> None:
    recommender = learned().recommender
    for name in ("v0", "one", "v0"):
        query = Query(viewer="v", limit=3, explain=explain, version=name)
        answer = msgspec.json.decode(recommender.recommend_json(query), type=Answer)
        assert answer.model_version == name
        assert {item.receipt.model_version for item in answer.rooms} == {"one"}


def test_the_baseline_named_has_no_heads_for_goals() -> None:
    recommender = learned().recommender
    used = [
        recommender.recommend(Query(viewer="v", goals=Goals(stay=3), version=name)).goals_used for name in ("v0", "one")
    ]
    assert used == [False, True]


@pytest.mark.parametrize("explain", [False, True])
@pytest.mark.parametrize("name", ["two", "ONE", "V0", " "])
def test_a_version_that_does_not_answer_here_is_refused_with_those_that_do(name: str, explain: bool) -> None:
    world = World()
    world.live("two")
    world.live("one")
    with pytest.raises(RequestError, match="'v0' and 'one' can be asked for") as refused:
        world.replica.recommender.recommend_json(Query(viewer="v", version=name, explain=explain))
    assert (refused.value.field, refused.value.allowed) == ("version", '"" for the live one, "v0", "one"')


def test_without_a_learned_version_the_baseline_is_all_that_can_be_asked_for() -> None:
    world = World()
    for name in ("", "v0"):
        assert world.answer(version=name).model_version == "v0"
    with pytest.raises(RequestError, match="'v0' can be asked for") as refused:
        world.answer(version="one")
    assert refused.value.allowed == '"" for the live one, "v0"'


def test_a_page_may_be_asked_of_another_version_than_the_one_before() -> None:
    recommender = learned().recommender
    first = recommender.recommend(Query(viewer="v", limit=5, cursor="", version="v0"))
    assert isinstance(first.cursor, str)
    second = recommender.recommend(Query(viewer="v", limit=5, cursor=first.cursor, version="one"))
    assert (len(second.rooms), second.model_version) == (5, "one")
    assert not {item.room for item in first.rooms} & {item.room for item in second.rooms}


def test_an_answer_by_a_named_version_is_in_no_experiment_and_its_impression_says_the_version() -> None:
    world = World()
    world.live("one")
    replica, impressions = world.replica, Impressions(1.0, 100)
    recommender = Recommender(
        replica.tables, RecommendConfig(), replica.metrics, replica.clock, impressions, experiments=[ORDER]
    )
    by_baseline = by_variant(ORDER)["hand"][0]
    for name in ("v0", "one", ""):
        answer = recommender.recommend(Query(viewer=by_baseline, version=name, explain=True))
        assert (answer.experiments == {"order": "hand"}) == (name == "")
        assert ("enter" in terms_of(answer)) == (name == "one")
    noted = [Decoder(IMPRESSIONS)(value) for _, value in impressions.take(10)]
    assert [(one.model_version, bool(one.experiments)) for one in noted] == [
        ("v0", False),
        ("one", False),
        ("one", True),
    ]


def test_nobody_who_names_a_version_is_counted_for_a_variant() -> None:
    world = World()
    replica, impressions = world.replica, Impressions(1.0, 1_000)
    recommender = Recommender(
        replica.tables, RecommendConfig(), replica.metrics, replica.clock, impressions, experiments=[ORDER]
    )
    for viewer in VIEWERS:
        assert b"experiments" not in recommender.recommend_json(Query(viewer=viewer, version="v0"))
    assert {Decoder(IMPRESSIONS)(value).experiments for _, value in impressions.take(1_000)} == {()}


def test_a_name_that_no_version_can_have_is_refused_before_anything_is_looked_at() -> None:
    for version in ("x" * 65, 7, None):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"viewer": "v", "version": version}, Query)
