"""Tests of goals: what a list is for, as weights over a learned version's heads."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.answers.given_rooms import GivenRooms
from actors.recommend.recommender import Item, Query
from actors.recommend.schema import RankAnswer, RankQuery
from actors.requests.goals import ENTER_ALONE, Goals
from actors.settings import GoalsConfig
from streaming.errors import ConfigError
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.actors.recommend.test_rule_effects import platform, put
from tests.unit.actors.replica import AXES, Replica
from tests.untrained import untrained
from training.inference.served_model import Version


def learned(**config: Any) -> Replica:
    """A platform of a version whose heads differ from room to room."""
    replica = platform(40, **config)
    bundle = untrained("one", [f"streamer of r{number}" for number in range(40)], "test", AXES)
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
    [{"enter": 0}, {"stay": -1}, {"stay": 101}, {"leave_fast": 1}, {"enter": "much"}, {"stay": math.inf}],
    ids=str,
)
def test_goals_out_of_their_bounds_are_refused(goals: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"viewer": "v", "goals": goals}, Query)
