"""Tests of experiments in answers: who gets what, what is noted, and when an experiment is not in force."""

from __future__ import annotations

import msgspec
import pytest

from actors.recommend.impressions import Impressions
from actors.recommend.recommender import Query, Recommender
from actors.requests.treatments import NONE, Treatments
from actors.settings import RecommendConfig
from streaming.events import Assignment
from streaming.log.codec import Decoder, encode
from streaming.log.topics import IMPRESSIONS, RULES
from streaming.operator_rule import OperatorRule
from tests.unit.actors.replica import Replica
from tests.unit.actors.swap_world import World
from training.experiments import Experiment, Variant

ORDER = Experiment(name="order", variants=(Variant(name="live"), Variant(name="hand", version="v0")))
VIEWERS = [f"v{number}" for number in range(200)]


def by_variant(experiment: Experiment) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {variant.name: [] for variant in experiment.variants}
    for viewer in VIEWERS:
        if (variant := experiment.variant_of(viewer)) is not None:
            found[variant.name].append(viewer)
    return found


def recommender_of(*experiments: Experiment) -> tuple[Recommender, Impressions]:
    replica, impressions = Replica(), Impressions(1.0, 10_000)
    for room in "abc":
        replica.room(room)
    config, metrics = RecommendConfig(), replica.metrics
    return (
        Recommender(replica.tables, config, metrics, replica.clock, impressions, experiments=experiments),
        impressions,
    )


def test_answer_and_impression_name_the_viewers_variants() -> None:
    whole, half = ORDER, Experiment(name="half", share=0.5, variants=(Variant(name="x"), Variant(name="y")))
    recommender, impressions = recommender_of(whole, half)
    for viewer in VIEWERS:
        answer = msgspec.json.decode(recommender.recommend_json(Query(viewer=viewer)))
        expected = {one.name: variant.name for one in (whole, half) if (variant := one.variant_of(viewer)) is not None}
        assert answer["experiments"] == expected
    noted = [Decoder(IMPRESSIONS)(value) for _, value in impressions.take(1_000)]
    assert [one.viewer for one in noted] == VIEWERS
    for one in noted:
        assert Assignment("order", whole.variant_of(one.viewer).name) in one.experiments  # type: ignore[union-attr]
    assert {len(one.experiments) for one in noted} == {1, 2}


def test_without_experiments_an_answer_names_none() -> None:
    recommender, _ = recommender_of()
    assert b"experiments" not in recommender.recommend_json(Query(viewer="v"))


def test_the_two_ways_to_an_answer_give_the_same_variant() -> None:
    recommender, _ = recommender_of(ORDER)
    for viewer in VIEWERS[:20]:
        written = msgspec.json.decode(recommender.recommend_json(Query(viewer=viewer)))
        assert recommender.recommend(Query(viewer=viewer)).experiments == written["experiments"]


@pytest.mark.parametrize(("live", "in_force"), [("m1", True), ("m2", False), ("v0", False)])
def test_an_experiment_with_a_version_is_in_force_while_that_is_live(live: str, in_force: bool) -> None:
    named = Experiment(name="named", variants=(Variant(name="hand", version="v0"), Variant(name="m1", version="m1")))
    treatments = Treatments([named])
    for variant, viewers in by_variant(named).items():
        found = treatments.of(viewers[0], live)
        assert found == NONE if not in_force else found.named == {"named": variant}


def test_a_change_of_the_version_changes_what_is_in_force() -> None:
    named = Experiment(name="named", variants=(Variant(name="a", version="m1"), Variant(name="b")))
    treatments = Treatments([named])
    assert [bool(treatments.of("v", version).noted) for version in ("m1", "m2", "m1")] == [True, False, True]


def test_only_the_viewers_of_its_variant_get_the_baseline() -> None:
    treatments = Treatments([ORDER])
    groups: dict[str, list[str]] = by_variant(ORDER)
    assert all(treatments.of(viewer, "m1").by_baseline for viewer in groups["hand"])
    assert not any(treatments.of(viewer, "m1").by_baseline for viewer in groups["live"])
    assert min(map(len, groups.values())) > 60


def test_a_viewer_of_two_experiments_gets_the_baseline_where_either_says_so() -> None:
    other = Experiment(name="other", variants=(Variant(name="x"), Variant(name="y")))
    for running in ([ORDER, other], [other, ORDER]):
        treatments = Treatments(running)
        for variant, viewers in by_variant(ORDER).items():
            found = [treatments.of(viewer, "m1") for viewer in viewers[:20]]
            assert [(len(one.noted), one.by_baseline) for one in found] == [(2, variant == "hand")] * 20


def test_with_a_model_live_the_baseline_orders_the_rooms_of_its_variants_viewers_alone() -> None:
    world = World()
    world.live("one")
    replica = world.replica
    recommender = Recommender(replica.tables, RecommendConfig(), replica.metrics, replica.clock, experiments=[ORDER])
    for variant, viewers in by_variant(ORDER).items():
        answer = recommender.recommend(Query(viewer=viewers[0], explain=True))
        terms = answer.rooms[0].terms
        assert isinstance(terms, dict)
        assert ("enter" in terms) == (variant == "live")
        assert ("trending" in terms) == (variant == "hand")
        assert answer.model_version == "one"  # whose vectors say what is near


def test_a_pinned_room_has_its_place_for_the_viewers_of_every_variant() -> None:
    world = World()
    world.live("one")
    replica = world.replica
    rule = OperatorRule(name="r", action="pin", at_ms=replica.clock.now_ms(), rooms=("r33",), position=2)
    replica.send(RULES, rule.name, encode(rule))
    recommender = Recommender(replica.tables, RecommendConfig(), replica.metrics, replica.clock, experiments=[ORDER])
    for variant, viewers in by_variant(ORDER).items():
        room = recommender.recommend(Query(viewer=viewers[0], limit=5)).rooms[1]
        assert (variant, room.room, room.source, room.rule) == (variant, "r33", "pinned", "r")
