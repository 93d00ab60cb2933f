"""Tests of goals: what a list is for, as weights over a learned version's heads."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from actors.answers.given_rooms import GivenRooms
from actors.recommend.recommender import Answer, Item, Query
from actors.recommend.schema import RankAnswer, RankQuery
from actors.requests.goals import ENTER_ALONE, Goals
from actors.settings import GoalsConfig, RecommendConfig
from streaming.errors import ConfigError, RequestError
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.recommend.test_rule_effects import platform, put
from tests.unit.actors.replica import AXES, Replica
from tests.untrained import untrained
from training.inference.served_model import Version


def learned(*, leaves: bool = True, **config: Any) -> Replica:
    """A platform of a version whose heads differ from room to room. leaves: there is one for leaving."""
    replica = platform(40, **config)
    bundle = untrained("one", [f"streamer of r{number}" for number in range(40)], "test", AXES, leaves=leaves)
    put_live(replica, Version(bundle))  # type: ignore[arg-type]
    return replica


def items(replica: Replica, **query: Any) -> list[Item]:
    return replica.recommender.recommend(Query(viewer="v", limit=40, explain=True, **query)).rooms


def test_the_default_is_entering_alone() -> None:
    replica = learned()
    for goals in (ENTER_ALONE, Goals(enter=7)):
        assert [(one.room, one.score) for one in items(replica, goals=goals)] == [
            (one.room, one.score) for one in items(replica)
        ]


@pytest.mark.parametrize(
    "goals",
    [Goals(enter=0, stay=1), Goals(enter=0, interact=1), Goals(enter=1, stay=20, interact=3)],
    ids=["stay", "interact", "all"],
)
def test_a_score_is_what_entering_and_what_follows_are_worth(goals: Goals) -> None:
    rooms = items(learned(), goals=goals)
    whole = goals.enter + goals.stay + goals.interact
    for one in rooms:
        assert isinstance(one.terms, dict)
        after = goals.enter + goals.stay * one.terms["stay"] + goals.interact * one.terms["interact"]
        assert one.terms["goals"] == pytest.approx(one.terms["enter"] * after / whole, rel=1e-4)
        assert one.score == pytest.approx(one.terms["goals"], abs=1e-4)


def test_only_the_ratio_of_the_weights_counts() -> None:
    replica = learned()
    one, other = (items(replica, goals=goals) for goals in (Goals(enter=1, stay=2), Goals(enter=10, stay=20)))
    assert [item.room for item in one] == [item.room for item in other]


def test_goals_reorder_rooms_by_what_follows() -> None:
    enter_N, stay_N, interact_N = (np.array(one, np.float32) for one in ([0.5, 0.4], [0.1, 0.9], [0.9, 0.1]))
    assert ENTER_ALONE.worth(enter_N, stay_N, interact_N).tolist() == pytest.approx([0.5, 0.4])
    assert Goals(enter=1, stay=1).worth(enter_N, stay_N, interact_N).argmax() == 1
    assert Goals(enter=0, interact=1).worth(enter_N, stay_N, interact_N).argmax() == 0


@pytest.mark.parametrize("explain", [False, True])
def test_an_answer_says_whether_goals_were_used(explain: bool) -> None:
    goals = Goals(stay=3)
    for replica, used in ((platform(10), False), (learned(), True)):
        recommender = replica.recommender
        answer = msgspec.json.decode(recommender.recommend_json(Query(viewer="v", goals=goals, explain=explain)))
        assert answer["goals_used"] is used
        query = RankQuery(viewer="v", rooms=("r1", "r2"), goals=goals, explain=explain)
        assert msgspec.json.decode(GivenRooms(recommender).rank_json(query))["goals_used"] is used
        assert "goals_used" not in msgspec.json.decode(recommender.recommend_json(Query(viewer="v", explain=explain)))


def test_without_heads_goals_change_nothing() -> None:
    replica = platform(10)
    assert [(one.room, one.score) for one in items(replica, goals=Goals(stay=3))] == [
        (one.room, one.score) for one in items(replica)
    ]


def test_the_installations_goals_count_where_a_request_has_none() -> None:
    replica, other = learned(goals=GoalsConfig(enter=0, interact=1)), learned()
    wanted = [(one.room, one.score) for one in items(other, goals=Goals(enter=0, interact=1))]
    assert [(one.room, one.score) for one in items(replica)] == wanted
    assert [(one.room, one.score) for one in items(replica, goals=ENTER_ALONE)] != wanted
    with pytest.raises(ConfigError, match="above 0"):
        GoalsConfig(enter=0)


def test_leaving_at_once_counts_against_a_room() -> None:
    enter_N, half_N, leave_N = (np.array(one, np.float32) for one in ([0.5, 0.4], [0.5, 0.5], [0.9, 0.1]))
    goals = Goals(enter=1, leave=1)
    worth_N = goals.worth(enter_N, half_N, half_N, leave_N)
    assert worth_N.tolist() == pytest.approx([0.5 * (1 + 0.1) / 2, 0.4 * (1 + 0.9) / 2])
    assert worth_N.argmax() == 1  # without it the other one comes first
    most_N = np.array([1.0], np.float32)
    for surely_leaves, worth in ((0.0, 1.0), (1.0, 0.0)):
        left_N = np.array([surely_leaves], np.float32)
        assert Goals(enter=0, leave=3).worth(most_N, most_N, most_N, left_N).tolist() == [worth]


@pytest.mark.parametrize("goals", [Goals(stay=3), Goals(enter=0, interact=1), Goals(enter=1, stay=20, interact=3)])
def test_a_head_for_leaving_changes_nothing_where_it_has_no_weight(goals: Goals) -> None:
    enter_N, stay_N, interact_N, leave_N = np.random.default_rng(7).random((4, 500)).astype(np.float32)
    before_N = enter_N * (
        (goals.enter + goals.stay * stay_N + goals.interact * interact_N) / (goals.enter + goals.stay + goals.interact)
    )
    for head in (leave_N, None):
        assert goals.worth(enter_N, stay_N, interact_N, head).tobytes() == before_N.astype(np.float32).tobytes()


def test_a_version_with_a_head_for_leaving_ranks_and_explains_by_it() -> None:
    replica = learned()
    goals = Goals(enter=1, leave=4)
    answer = replica.recommender.recommend(Query(viewer="v", limit=40, explain=True, goals=goals))
    assert (answer.goals_used, answer.goals_ignored) == (True, UNSET)
    for one in answer.rooms:
        assert isinstance(one.terms, dict)
        worth = one.terms["enter"] * (1 + 4 * (1 - one.terms["leave"])) / 5
        assert one.terms["goals"] == pytest.approx(worth, rel=1e-4)
        assert one.score == pytest.approx(worth, abs=1e-4)
    assert [one.room for one in answer.rooms] != [one.room for one in items(replica)]


def test_a_version_without_that_head_says_that_the_weight_does_not_count() -> None:
    replica = learned(leaves=False)
    for goals, same in ((Goals(enter=1, stay=3, leave=4), Goals(enter=1, stay=3)), (Goals(enter=0, leave=1), None)):
        query = Query(viewer="v", limit=40, goals=goals)
        answer = msgspec.json.decode(replica.recommender.recommend_json(query), type=Answer)
        assert (answer.goals_used, answer.goals_ignored) == (True, ["leave"])
        plain = items(learned(), goals=same)
        assert all(isinstance(one.terms, dict) and "leave" not in one.terms for one in items(replica, goals=goals))
        assert [(one.room, one.score) for one in answer.rooms] == [(one.room, one.score) for one in plain]
        given = RankQuery(viewer="v", rooms=("r1", "r2"), goals=goals)
        assert msgspec.json.decode(GivenRooms(replica.recommender).rank_json(given))["goals_ignored"] == ["leave"]
    for replica in (learned(leaves=False), platform(10)):
        stay = Query(viewer="v", goals=Goals(stay=3))
        assert "goals_ignored" not in msgspec.json.decode(replica.recommender.recommend_json(stay))


def test_a_request_may_name_goals_of_the_configuration() -> None:
    replica = learned(named_goals={"stay-long": {"enter": 0, "stay": 2.5}, "talk": {"interact": 9}})
    asked = replica.recommender.recommend_json(Query(viewer="v", limit=40, goals="stay-long"))
    answer = msgspec.json.decode(asked, type=Answer)
    wanted = [(one.room, one.score) for one in items(replica, goals=Goals(enter=0, stay=2.5))]
    assert [(one.room, one.score) for one in answer.rooms] == wanted
    assert answer.goals_used is True
    rooms = tuple(f"r{number}" for number in range(40))
    by_name, by_weights = (
        msgspec.json.decode(
            GivenRooms(replica.recommender).rank_json(RankQuery(viewer="v", rooms=rooms, goals=goals)), type=RankAnswer
        )
        for goals in ("talk", Goals(interact=9))
    )
    assert [(one.room, one.score) for one in by_name.rooms] == [(one.room, one.score) for one in by_weights.rooms]
    assert by_name.goals_used is True


@pytest.mark.parametrize("has_heads", [False, True])
def test_an_unknown_name_of_goals_is_refused_with_those_that_there_are(has_heads: bool) -> None:
    named = {"stay-long": {"stay": 3}, "calm": {"leave": 2}}
    replica = learned(named_goals=named) if has_heads else platform(10, named_goals=named)
    rank = GivenRooms(replica.recommender).rank_json
    for ask in (
        lambda: replica.recommender.recommend_json(Query(viewer="v", goals="stay")),
        lambda: rank(RankQuery(viewer="v", rooms=("gone",), goals="stay")),
        lambda: replica.recommender.check(Query(viewer="v", goals="stay")),  # before a stream is opened
    ):
        with pytest.raises(RequestError, match="'stay'; there are calm, stay-long") as refused:
            ask()
        assert refused.value.field == "goals"
        assert refused.value.allowed == 'one of calm, stay-long, or weights such as {"enter": 1, "stay": 3}'
    with pytest.raises(RequestError, match=r"'stay'; recommend\.named_goals has none"):
        platform(10).recommender.recommend_json(Query(viewer="v", goals="stay"))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"a b": {"stay": 1}}, "'a b' is no name"),
        ({"calm": {"leav": 1}}, r"named_goals\.calm: unknown weight 'leav'; there are enter, stay, interact, leave"),
        ({"calm": {"leave": 101}}, r"named_goals\.calm\.leave is 101; it must be at least 0 and at most 100"),
        ({"calm": {"enter": 0}}, r"named_goals\.calm: one of enter, stay, interact and leave must be above 0"),
        ({f"n{number}": {} for number in range(101)}, "has 101 names; at most 100"),
    ],
)
def test_named_goals_that_cannot_be_are_refused_at_the_start(named: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RecommendConfig(named_goals=named)


def test_given_rooms_are_ranked_by_goals_too() -> None:
    replica = learned()
    goals = Goals(enter=0, interact=1)
    query = RankQuery(viewer="v", rooms=tuple(f"r{number}" for number in range(40)), goals=goals)
    ranked = msgspec.json.decode(GivenRooms(replica.recommender).rank_json(query), type=RankAnswer)
    recommended = {one.room: one.score for one in items(replica, goals=goals)}
    scores = [one.score for one in ranked.rooms]
    assert scores == sorted(scores, reverse=True)
    assert {one.room: one.score for one in ranked.rooms if one.room in recommended} == pytest.approx(
        recommended, abs=1e-4
    )


def test_rules_hold_with_goals() -> None:
    replica = learned()
    put(replica, "up", "boost", rooms=["r7"], weight=20)
    put(replica, "pin", "pin", rooms=["r8"], position=2)
    assert [one.room for one in items(replica, goals=Goals(enter=0, stay=1))][:2] == ["r7", "r8"]


@pytest.mark.parametrize(
    "goals",
    [
        {"enter": 0},
        {"stay": -1},
        {"stay": 101},
        {"leave": -1},
        {"leave_fast": 1},
        7,
        {"enter": "much"},
        {"stay": math.inf},
    ],
    ids=str,
)
def test_goals_out_of_their_bounds_are_refused(goals: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"viewer": "v", "goals": goals}, Query)
