"""Tests of experiments whose variants switch operators' rules: for whom a rule holds, on every path, and when not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from actors.answers.given_rooms import GivenRooms
from actors.answers.known_rules import KnownRules
from actors.answers.trending import Trending
from actors.recommend.impressions import Impressions
from actors.recommend.recommender import Item, Query, Recommender
from actors.recommend.schema import Answer, RankAnswer, RankQuery
from actors.settings import RecommendConfig
from streaming.errors import ConfigError
from streaming.events import Assignment
from streaming.log.codec import Decoder
from streaming.log.topics import IMPRESSIONS, RULES
from tests.unit.actors.recommend.test_rule_effects import platform, put
from tests.unit.actors.replica import Replica
from training.experiments import Experiment, ExperimentsConfig, Variant

VIEWERS = [f"v{number}" for number in range(60)]


def trial(name: str = "trial", *, on: tuple[str, ...] = (), off: tuple[str, ...] = ()) -> Experiment:
    return Experiment(name=name, variants=(Variant(name="without"), Variant(name="with", rules_on=on, rules_off=off)))


def viewer_of(variant: str, *experiments: Experiment) -> str:
    """A viewer who has this variant of every experiment."""
    for viewer in VIEWERS:
        if all((found := one.variant_of(viewer)) is not None and found.name == variant for one in experiments):
            return viewer
    raise AssertionError("no viewer")


def experimenting(replica: Replica, *experiments: Experiment) -> Replica:
    """The replica with another recommender over its tables, which runs experiments."""
    replica.recommender = Recommender(
        replica.tables, RecommendConfig(), replica.metrics, replica.clock, experiments=experiments
    )
    return replica


def lists(replica: Replica, viewer: str) -> dict[str, list[Item]]:
    """A viewer's lists, by path; each sees 40 rooms."""
    recommender = replica.recommender

    def pages() -> list[Item]:
        first = recommender.recommend(Query(viewer=viewer, limit=5, cursor=""))
        return [*first.rooms, *recommender.recommend(Query(viewer=viewer, limit=35, cursor=str(first.cursor))).rooms]

    def rank() -> list[Item]:
        query = RankQuery(viewer=viewer, rooms=tuple(f"r{number}" for number in range(40)))
        return msgspec.json.decode(GivenRooms(recommender).rank_json(query), type=RankAnswer).rooms

    def news() -> list[Item]:
        sent = recommender.recommend_news(Query(viewer=viewer, limit=40), 0, lambda _: True)
        assert sent is not None
        return msgspec.json.decode(sent, type=Answer).rooms

    def written() -> list[Item]:
        return msgspec.json.decode(recommender.recommend_json(Query(viewer=viewer, limit=40)), type=Answer).rooms

    paths: dict[str, Callable[[], list[Item]]] = {
        "recommend": lambda: recommender.recommend(Query(viewer=viewer, limit=40)).rooms,
        "written": written,
        "filtered": lambda: recommender.recommend(Query(viewer=viewer, limit=40, exclude=["r0"])).rooms,
        "pages": pages,
        "rank": rank,
        "news": news,
    }
    return {name: ask() for name, ask in paths.items()}


def moved(items: list[Item]) -> dict[str, int]:
    """Places of the rooms that say a rule, from 0, by the rule's name."""
    return {item.rule: place for place, item in enumerate(items) if isinstance(item.rule, str)}


@pytest.mark.parametrize("version", ["v0", "fake"])
def test_a_rule_that_a_variant_switches_on_holds_for_its_viewers_alone_on_every_path(version: str) -> None:
    experiment = trial(on=("lift", "first"))
    replica, plain = (experimenting(platform(version=version), experiment) for _ in range(2))
    put(replica, "lift", "boost", rooms=["r3"], weight=20, enabled=False)
    put(replica, "first", "pin", rooms=["r4"], position=2, enabled=False)
    for path, items in lists(replica, viewer_of("with", experiment)).items():
        expected = {"lift": 0} if path == "rank" else {"lift": 0, "first": 1}  # a caller's own choice has no pins
        assert {name: moved(items)[name] for name in expected} == expected, path
    ours, theirs = (lists(one, viewer_of("without", experiment)) for one in (replica, plain))
    for path in ours:
        assert [item.room for item in ours[path]] == [item.room for item in theirs[path]], path
        assert moved(ours[path]) == {}, path


@pytest.mark.parametrize("version", ["v0", "fake"])
def test_a_rule_that_a_variant_switches_off_holds_for_all_others(version: str) -> None:
    experiment = trial(off=("lift",))
    replica, plain = (experimenting(platform(version=version), experiment) for _ in range(2))
    put(replica, "lift", "boost", rooms=["r3"], weight=20)
    for path, items in lists(replica, viewer_of("without", experiment)).items():
        assert moved(items) == {"lift": 0}, path
    ours, theirs = (lists(one, viewer_of("with", experiment)) for one in (replica, plain))
    for path in ours:
        assert [item.room for item in ours[path]] == [item.room for item in theirs[path]], path
        assert moved(ours[path]) == {}, path
    trending = Trending(replica.recommender).rooms(40)  # of nobody in particular
    assert moved(trending) == {"lift": 0}


def test_answers_impressions_and_ranks_name_the_variant() -> None:
    experiment, replica, impressions = trial(on=("lift",)), platform(), Impressions(1.0, 100)
    put(replica, "lift", "boost", rooms=["r3"], enabled=False)
    recommender = Recommender(
        replica.tables, RecommendConfig(), replica.metrics, replica.clock, impressions, experiments=[experiment]
    )
    viewer = viewer_of("with", experiment)
    assert recommender.recommend(Query(viewer=viewer)).experiments == {"trial": "with"}
    ranked = msgspec.json.decode(GivenRooms(recommender).rank_json(RankQuery(viewer=viewer, rooms=("r1",))))
    assert ranked["experiments"] == {"trial": "with"}
    ((_, noted),) = impressions.take(10)  # a rank is not noted
    assert Decoder(IMPRESSIONS)(noted).experiments == (Assignment("trial", "with"),)


def test_a_rank_is_by_the_baseline_for_viewers_of_a_variant_that_says_so() -> None:
    order = Experiment(name="order", variants=(Variant(name="without"), Variant(name="with", version="v0")))
    replica = experimenting(platform(version="fake"), order)
    for variant, term in (("without", "enter"), ("with", "trending")):
        query = RankQuery(viewer=viewer_of(variant, order), rooms=("r1", "r2"), explain=True)
        answer = msgspec.json.decode(GivenRooms(replica.recommender).rank_json(query))
        assert term in answer["rooms"][0]["terms"]
        assert answer["experiments"] == {"order": variant}


def test_without_its_rule_nobody_is_in_the_experiment_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    experiment = trial(on=("lift",), off=("other",))
    replica = experimenting(platform(), experiment)
    viewer = viewer_of("without", experiment)

    def named() -> Any:
        return replica.recommender.recommend(Query(viewer=viewer)).experiments

    with caplog.at_level(logging.INFO, "actors.requests.treatments"):
        assert [named() for _ in range(3)] == [msgspec.UNSET] * 3
        put(replica, "another", "pin", rooms=["r2"])  # it lacks the same rules as before
        assert named() == msgspec.UNSET
        put(replica, "other", "pin", rooms=["r1"])
        assert [named() for _ in range(3)] == [msgspec.UNSET] * 3
        put(replica, "lift", "boost", rooms=["r3"], enabled=False)
        assert named() == {"trial": "without"}
        replica.send(RULES, "lift", None)
        assert named() == msgspec.UNSET
    assert [record.getMessage() for record in caplog.records] == [
        "experiment trial is not in force: there is no rule 'lift'; there is no rule 'other'",
        "experiment trial is not in force: there is no rule 'lift'",
        "experiment trial is in force now",
        "experiment trial is not in force: there is no rule 'lift'",
    ]


def test_a_switched_rule_starts_and_ends_with_the_clock_and_its_experiment_with_it() -> None:
    experiment = trial(on=("lift",))
    replica = experimenting(platform(), experiment)
    viewer, now_ms = viewer_of("with", experiment), replica.clock.now_ms()
    put(
        replica, "lift", "boost", rooms=["r3"], weight=20, enabled=False,
        starts_at_ms=now_ms + 1_000, ends_at_ms=now_ms + 2_000,
    )  # fmt: skip
    seen = []
    for _ in range(3):
        answer = replica.recommender.recommend(Query(viewer=viewer))
        seen.append((answer.rooms[0].rule == "lift", answer.experiments == {"trial": "with"}))
        replica.clock.advance(1_000)
    assert seen == [(False, False), (True, True), (False, False)]


def test_what_hides_is_hidden_for_all_or_none(caplog: pytest.LogCaptureFixture) -> None:
    experiments = trial("a", on=("gone",)), trial("b", off=("away",))
    replica = experimenting(platform(), *experiments)
    put(replica, "gone", "hide", rooms=["r3"], enabled=False)
    put(replica, "away", "hide", rooms=["r4"])
    for variant in ("without", "with"):
        answer = replica.recommender.recommend(Query(viewer=viewer_of(variant, *experiments), limit=40))
        rooms = {item.room for item in answer.rooms}
        assert "r3" in rooms
        assert "r4" not in rooms
        assert answer.experiments is msgspec.UNSET
    assert "experiment a is not in force: the rule 'gone' hides rooms" in caplog.text


def test_of_two_experiments_that_differ_on_a_rule_off_counts() -> None:
    experiments = trial("a", on=("lift",)), trial("b", off=("lift",))
    replica = experimenting(platform(), *experiments)
    put(replica, "lift", "boost", rooms=["r3"], weight=20, enabled=False)
    in_both = viewer_of("with", *experiments)
    assert moved(replica.recommender.recommend(Query(viewer=in_both)).rooms) == {}
    on_alone = next(
        viewer
        for viewer in VIEWERS
        if [one.variant_of(viewer).name for one in experiments] == ["with", "without"]  # type: ignore[union-attr]
    )
    assert moved(replica.recommender.recommend(Query(viewer=on_alone)).rooms) == {"lift": 0}


def test_a_room_that_begins_changes_or_ends_is_under_the_rules_of_every_view() -> None:
    experiment = trial(on=("lift",), off=("sink",))
    replica = experimenting(platform(), experiment)
    put(replica, "lift", "boost", categories=["finals"], weight=20, enabled=False)
    put(replica, "sink", "bury", categories=["finals"], weight=3)
    variants = {variant: viewer_of(variant, experiment) for variant in ("with", "without")}

    def gains(room: str) -> dict[str, float]:
        found = {}
        for variant, viewer in variants.items():
            answer = replica.recommender.recommend(Query(viewer=viewer, limit=60, explain=True))
            terms = next((item.terms for item in answer.rooms if item.room == room), None)
            assert isinstance(terms, dict)
            found[variant] = terms.get("rules", 0)
        return found

    assert gains("r5") == {"with": 0, "without": 0}
    replica.room("r5", category="Finals")
    replica.room("new", category="finals")
    assert gains("r5") == gains("new") == {"with": 20, "without": -3}
    replica.room("r5", category="music")
    assert gains("r5") == {"with": 0, "without": 0}
    replica.room("new", status="ended")
    view = replica.tables.rooms.ruled.view(frozenset({"lift"}), frozenset({"sink"}))
    assert (view.of, view.num_weighed, view.weight_N.any()) == ({}, 0, False)


def test_a_rule_for_some_is_listed_as_not_in_force_and_with_its_rooms() -> None:
    replica = experimenting(platform(), trial(on=("lift",)))
    put(replica, "lift", "boost", categories=["c1"], enabled=False)
    (rule,) = KnownRules(replica.recommender).rules()
    assert (rule.in_force, rule.enabled, rule.live_rooms, rule.experiments) == (False, False, 8, ("trial",))
    assert replica.metrics.value("operator_rules") == 0


def test_without_such_experiments_there_are_columns_for_everyone_alone() -> None:
    replica = experimenting(platform(), trial())
    put(replica, "off", "boost", rooms=["r3"], enabled=False)
    replica.recommender.recommend(Query(viewer="v"))
    assert replica.recommender.plan("v", None).effects is replica.recommender.effects
    assert replica.tables.rooms.ruled.of == {}  # a rule that is switched off is not matched with rooms


def test_a_variant_cannot_have_a_rule_both_on_and_off() -> None:
    with pytest.raises(ConfigError, match="'with' has the rule 'lift' both on and off"):
        ExperimentsConfig(running=(trial(on=("lift", "x"), off=("lift",)),))


def test_more_sets_of_rules_than_a_replica_keeps_are_refused() -> None:
    ExperimentsConfig(running=tuple(trial(f"e{number}", on=(f"r{number}",)) for number in range(6)))
    many = tuple(trial(f"e{number}", on=(f"r{number}",)) for number in range(7))
    with pytest.raises(ConfigError, match=r"128 different sets of rules; at most 64. Put such experiments into one la"):
        ExperimentsConfig(running=many)
    one_layer = [
        msgspec.structs.replace(one, layer="l", share=0.125, start=number / 8) for number, one in enumerate(many)
    ]
    ExperimentsConfig(running=tuple(one_layer))
