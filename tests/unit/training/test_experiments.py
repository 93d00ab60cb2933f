"""Tests of assignment: stable, evenly spread, independent between experiments, and never two of one layer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from streaming.errors import ConfigError
from streaming.events import Assignment
from training.experiments import Experiment, ExperimentsConfig, Variant, assigned, place_of
from training.report.sample_ratio import sample_ratio

VIEWERS = [f"viewer-{number}" for number in range(20_000)]
PAIR = (Variant(name="a"), Variant(name="b"))


def experiment(name: str, **fields: Any) -> Experiment:
    return Experiment(name=name, **{"variants": PAIR, **fields})


def test_a_viewers_place_is_the_same_in_every_process_and_build() -> None:
    places = [round(place_of("variant order", viewer), 9) for viewer in ("viewer-1", "viewer-2", "ünï", "")]
    assert places == [0.917678916, 0.290992691, 0.891215891, 0.378718255]


def test_viewers_are_divided_by_the_weights_and_the_share() -> None:
    found = experiment("order", share=0.3, variants=(Variant(name="a", weight=1), Variant(name="b", weight=3)))
    counts = Counter(variant.name for viewer in VIEWERS if (variant := found.variant_of(viewer)))
    assert sample_ratio([counts["a"], counts["b"]], [1, 3]).p > 0.001
    assert sample_ratio([counts.total(), len(VIEWERS) - counts.total()], [0.3, 0.7]).p > 0.001


def test_a_larger_share_keeps_the_viewers_and_their_variants() -> None:
    small, large = experiment("order", share=0.1), experiment("order", share=0.5)
    for viewer in VIEWERS[:2_000]:
        if (before := small.variant_of(viewer)) is not None:
            assert large.variant_of(viewer) == before


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_two_experiments_are_independent(share: float) -> None:
    one, other = experiment("one", share=share), experiment("other", share=share)
    counts = Counter(
        (first.name, second.name)
        for viewer in VIEWERS
        if (first := one.variant_of(viewer)) and (second := other.variant_of(viewer))
    )
    assert sample_ratio([*counts.values()], [1] * 4).p > 0.001
    assert sample_ratio([counts.total(), len(VIEWERS) - counts.total()], [share**2, 1 - share**2 + 1e-9]).p > 0.001


def test_another_salt_divides_viewers_anew() -> None:
    first, second = experiment("order"), experiment("order", salt="again")
    same = sum(first.variant_of(viewer) == second.variant_of(viewer) for viewer in VIEWERS)
    assert sample_ratio([same, len(VIEWERS) - same], [1, 1]).p > 0.001


def test_no_viewer_is_in_two_experiments_of_a_layer_and_between_layers_some_are() -> None:
    one = experiment("one", share=0.5, layer="rank")
    two = experiment("two", share=0.5, start=0.5, layer="rank")
    apart = experiment("apart", share=0.5)
    running = ExperimentsConfig(running=(one, two, apart)).running
    for viewer in VIEWERS[:2_000]:
        names = {of.name for of, _ in assigned(running, viewer).variants}
        assert len(names & {"one", "two"}) == 1
    both = sum(len(assigned(running, viewer).variants) == 2 for viewer in VIEWERS)
    assert sample_ratio([both, len(VIEWERS) - both], [1, 1]).p > 0.001


def test_what_is_noted_names_experiment_and_variant() -> None:
    running = (experiment("one"), experiment("none", share=1e-9))
    noted = assigned(running, "viewer-1").noted
    assert noted == (Assignment("one", noted[0].variant),)
    assert noted[0].variant in {"a", "b"}


@pytest.mark.parametrize(
    ("running", "said"),
    [
        ([experiment("x"), experiment("x")], "'x' twice"),
        ([experiment("x", share=0.6, layer="l"), experiment("y", share=0.6, start=0.4, layer="l")], "overlap"),
        ([experiment("x", share=0.6, start=0.5)], "over the end"),
        ([experiment("a b")], "'a b' must be"),
        ([experiment("x", variants=(Variant(name="a"), Variant(name="a")))], "two variants have one name"),
    ],
    ids=["twice", "overlap", "end", "name", "variants"],
)
def test_what_cannot_be_meant_is_refused(running: list[Experiment], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ExperimentsConfig(running=tuple(running))


def test_shares_that_fill_a_layer_are_taken() -> None:
    tenths = [experiment(f"e{part}", share=0.1, start=part / 10, layer="l") for part in range(10)]
    assert len(ExperimentsConfig(running=tuple(tenths)).by_name) == 10
