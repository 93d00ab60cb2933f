"""Tests of whose goals count for a list: the request's, its viewer's variant's, a rule's or the configuration's."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from actors.answers.given_rooms import GivenRooms
from actors.answers.known_rules import KnownRules
from actors.recommend.recommender import Query, Recommender
from actors.recommend.schema import Answer, AnswerHead, RankAnswer, RankQuery
from actors.requests.goals import ENTER_ALONE, ConfiguredGoals, Goals
from actors.requests.wanted_goals import RuledGoals, goals_by_name, wanted_goals
from actors.settings import GoalsConfig, RecommendConfig
from actors.streams.table_changes import TableChanges
from streaming.log.codec import encode
from streaming.log.topics import RULES
from streaming.operator_rule import OperatorRule
from tests.unit.actors.recommend.test_rule_effects import platform, put
from tests.unit.actors.replica import Replica
from tests.unit.actors.requests.test_goals import learned
from training.experiments import Experiment, Variant

STAY, INTERACT = {"enter": 0.0, "stay": 1.0}, {"enter": 0.0, "interact": 1.0}
AIMED = Experiment(name="aimed", variants=(Variant(name="usual"), Variant(name="stay", goals=STAY)))
OTHER = Experiment(name="other", variants=(Variant(name="x", goals=INTERACT), Variant(name="y", goals=INTERACT)))
ALL = tuple(f"r{number}" for number in range(40))


def viewer_of(variant: str, experiment: Experiment = AIMED) -> str:
    return next(
        viewer
        for number in range(99)
        if (found := experiment.variant_of(viewer := f"v{number}")) is not None and found.name == variant
    )


def experimenting(replica: Replica, *experiments: Experiment, **config: Any) -> Replica:
    replica.recommender = Recommender(
        replica.tables, RecommendConfig(**config), replica.metrics, replica.clock, experiments=experiments
    )
    return replica


def answers(replica: Replica, viewer: str, goals: Goals | None = None) -> dict[str, Answer | RankAnswer]:
    """What a viewer is answered, by path."""
    recommender, asked = replica.recommender, Query(viewer=viewer, limit=40, goals=goals)

    def news() -> Answer:
        sent = recommender.recommend_news(asked, 0, lambda _: True)
        assert sent is not None
        return msgspec.json.decode(sent, type=Answer)

    def rank() -> RankAnswer:
        query = RankQuery(viewer=viewer, rooms=ALL, goals=goals)
        return msgspec.json.decode(GivenRooms(recommender).rank_json(query), type=RankAnswer)

    paths: dict[str, Callable[[], Answer | RankAnswer]] = {
        "recommend": lambda: recommender.recommend(asked),
        "written": lambda: msgspec.json.decode(recommender.recommend_json(asked), type=Answer),
        "page": lambda: recommender.recommend(msgspec.structs.replace(asked, cursor="")),
        "news": news,
        "rank": rank,
    }
    return {name: ask() for name, ask in paths.items()}


def rooms(answers: dict[str, Answer | RankAnswer]) -> dict[str, list[tuple[str, float]]]:
    return {path: [(item.room, item.score) for item in answer.rooms] for path, answer in answers.items()}


def said(answers: dict[str, Answer | RankAnswer]) -> list[tuple[object, object]]:
    """What the paths say of goals; each thing once."""
    heads: list[AnswerHead] = [*answers.values()]
    return [*dict.fromkeys((head.goals_used, head.goals_rule) for head in heads)]


@pytest.mark.parametrize("given", [*itertools.product((False, True), repeat=3)], ids=str)
def test_the_requests_goals_count_then_the_variants_then_the_rules_then_the_configurations(
    given: tuple[bool, bool, bool],
) -> None:
    rule = OperatorRule(name="r", action="goals", at_ms=1_800_000_000_000, goals={"stay": 3})
    goals = [Goals(stay=1), Goals(stay=2), Goals(stay=3), Goals(stay=4)]
    ruled = RuledGoals(rule, goals[2])
    configured = ConfiguredGoals(goals[3], {"short": goals[0]})
    of_others = goals[1] if given[1] else None, ruled if given[2] else None
    found = wanted_goals(goals[0] if given[0] else None, *of_others, configured)
    first = next((place for place, is_given in enumerate(given) if is_given), 3)
    assert (found.goals, found.are_usual, found.rule) == (goals[first], first == 3, "r" if first == 2 else "")
    assert not given[0] or wanted_goals("short", *of_others, configured) == found


def test_a_rules_goals_count_on_every_path_as_a_requests_would_and_the_answer_names_the_rule() -> None:
    replica, plain = learned(), learned()
    usual = rooms(answers(plain, "v"))
    put(replica, "evening", "goals", goals=STAY)
    found = answers(replica, "v")
    assert rooms(found) == rooms(answers(plain, "v", Goals(**STAY)))
    assert all(rooms(found)[path] != usual[path] for path in usual)
    assert said(found) == [(True, "evening")]
    assert said(answers(plain, "v")) == [(msgspec.UNSET, msgspec.UNSET)]
    asked = answers(replica, "v", Goals(**INTERACT))
    assert rooms(asked) == rooms(answers(plain, "v", Goals(**INTERACT)))
    assert said(asked) == [(True, msgspec.UNSET)]
    replica.send(RULES, "evening", None)
    assert rooms(answers(replica, "v")) == usual


def test_a_rules_goals_replace_the_configurations_while_it_is_in_force() -> None:
    replica = learned(goals=GoalsConfig(enter=0, interact=1))
    now_ms = replica.clock.now_ms()
    put(replica, "evening", "goals", goals=STAY, starts_at_ms=now_ms + 1_000, ends_at_ms=now_ms + 2_000)
    names = []
    for _ in range(3):
        names.append(said(answers(replica, "v")))
        replica.clock.advance(1_000)
    assert names == [[(msgspec.UNSET, msgspec.UNSET)], [(True, "evening")], [(msgspec.UNSET, msgspec.UNSET)]]
    put(replica, "evening", "goals", goals=STAY, enabled=False)
    assert said(answers(replica, "v")) == [(msgspec.UNSET, msgspec.UNSET)]


def test_of_two_rules_with_goals_the_first_by_name_counts() -> None:
    replica, plain = learned(), learned()
    put(replica, "b", "goals", goals=STAY)
    put(replica, "a", "goals", goals=INTERACT)
    assert said(answers(replica, "v")) == [(True, "a")]
    assert rooms(answers(replica, "v")) == rooms(answers(plain, "v", Goals(**INTERACT)))
    replica.send(RULES, "a", None)
    assert said(answers(replica, "v")) == [(True, "b")]


def test_where_the_version_has_no_heads_a_rule_is_named_and_its_goals_are_not_used() -> None:
    replica, plain = platform(), platform()
    put(replica, "evening", "goals", goals=STAY)
    assert said(answers(replica, "v")) == [(False, "evening")]
    assert rooms(answers(replica, "v")) == rooms(answers(plain, "v"))


def test_a_rule_with_goals_is_about_no_room() -> None:
    replica = learned()
    put(replica, "evening", "goals", goals=STAY)
    replica.room("new", entered=9_000)
    assert replica.tables.rooms.ruled.of == {}
    assert all(item.rule is msgspec.UNSET for item in answers(replica, "v")["recommend"].rooms)
    (rule,) = KnownRules(replica.recommender).rules()
    assert (rule.action, rule.in_force, rule.live_rooms, rule.goals) == ("goals", True, 0, STAY)


def test_a_watched_list_is_looked_at_anew_when_a_rule_has_other_goals() -> None:
    replica = learned()
    changes = TableChanges(replica.tables)
    changes.watch((), (), lambda: None)
    assert not changes.take_any()
    put(replica, "evening", "goals", goals=STAY)
    assert changes.take_any()
    assert not changes.take_any()


def test_weights_of_another_build_are_left_out_and_where_none_is_left_the_rule_does_nothing() -> None:
    assert goals_by_name({"stay": 2, "applause": 9}) == Goals(stay=2)
    assert goals_by_name({"applause": 9}) is None
    assert goals_by_name({"enter": 0, "applause": 9}) is None
    replica = learned()
    put(replica, "evening", "goals", goals={"applause": 9.0})
    assert said(answers(replica, "v")) == [(msgspec.UNSET, msgspec.UNSET)]


def test_a_variants_goals_count_for_its_viewers_alone_before_a_rules_and_after_a_requests() -> None:
    replica, plain = experimenting(learned(), AIMED), learned()
    in_it, usual = viewer_of("stay"), viewer_of("usual")
    assert rooms(answers(replica, in_it)) == rooms(answers(plain, in_it, Goals(**STAY)))
    assert said(answers(replica, in_it)) == [(True, msgspec.UNSET)]
    assert answers(replica, in_it)["rank"].experiments == {"aimed": "stay"}
    assert rooms(answers(replica, usual)) == rooms(answers(plain, usual))
    put(replica, "evening", "goals", goals=INTERACT)
    assert said(answers(replica, in_it)) == [(True, msgspec.UNSET)]
    assert said(answers(replica, usual)) == [(True, "evening")]
    assert rooms(answers(replica, in_it, ENTER_ALONE)) == rooms(answers(plain, in_it))


def test_of_two_experiments_with_goals_the_first_one_configured_counts() -> None:
    viewer = viewer_of("stay")
    plain = learned()
    for running, goals in (((AIMED, OTHER), STAY), ((OTHER, AIMED), INTERACT)):
        found = rooms(answers(experimenting(learned(), *running), viewer))
        assert found == rooms(answers(plain, viewer, Goals(**goals)))


def test_an_experiment_with_goals_is_in_force_while_a_learned_version_is_live() -> None:
    assert "experiments" not in json.loads(
        experimenting(platform(), AIMED).recommender.recommend_json(Query(viewer=viewer_of("usual")))
    )


def test_a_variant_may_switch_a_rule_with_goals() -> None:
    trial = Experiment(name="trial", variants=(Variant(name="usual"), Variant(name="stay", rules_on=("evening",))))
    replica = experimenting(learned(), trial)
    put(replica, "evening", "goals", goals=STAY, enabled=False)
    assert said(answers(replica, viewer_of("stay", trial))) == [(True, "evening")]
    assert said(answers(replica, viewer_of("usual", trial))) == [(msgspec.UNSET, msgspec.UNSET)]


def test_configured_weights_have_the_names_of_a_requests_goals() -> None:
    assert [one.name for one in dataclasses.fields(GoalsConfig)] == [*Goals.__struct_fields__]


class OlderRule(msgspec.Struct, array_like=True):
    """The fields of a rule as builds before goals know them, all but the first ones left out."""

    v: int
    name: str
    action: str


def test_an_older_build_reads_rules_past_the_field_that_it_does_not_know_and_this_one_reads_its() -> None:
    pin = OperatorRule(name="r", action="pin", at_ms=1_800_000_000_000, rooms=("a",))
    assert msgspec.msgpack.decode(encode(pin), type=OlderRule) == OlderRule(1, "r", "pin")
    older = msgspec.msgpack.encode(msgspec.msgpack.decode(encode(pin))[:-1])
    replica = platform()
    replica.send(RULES, "r", older)
    assert replica.tables.rules.get("r").rule == pin  # type: ignore[union-attr]
