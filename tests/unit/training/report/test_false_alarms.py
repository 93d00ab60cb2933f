"""A/A and A/B tests of the simulator's guests and a real Recommender: alarms are as rare as said, a gain is found."""

from __future__ import annotations

import math

import pytest

from streaming.operator_rule import OperatorRule
from tests.alarms import PAIR, false_alarms, shown_by_rule, shown_of
from training.experiments import Experiment, Variant
from training.report.comparison import compare
from training.report.shown_rooms import ShownRooms

GUESTS, SECONDS, SALTS = 300, 180, 600
FOUR_ERRORS = 4 * math.sqrt(0.05 * 0.95 / SALTS)


@pytest.fixture(scope="module")
def shown() -> ShownRooms:
    return shown_of(GUESTS, SECONDS)


def test_every_enter_of_a_guest_is_joined_to_what_they_were_shown(shown: ShownRooms) -> None:
    assert len(set(shown.viewer_N.tolist())) > 0.98 * GUESTS
    assert shown.entered_N.sum() > 2 * GUESTS
    assert ((shown.stay_s_N > 0) <= shown.entered_N).all()
    assert 0.05 < shown.followed_N.sum() / shown.entered_N.sum() < 0.15


def test_of_twenty_tests_without_a_difference_one_is_an_alarm_and_by_impression_it_would_be_more(
    shown: ShownRooms,
) -> None:
    alarms = false_alarms(shown, SALTS)
    for metric, share in alarms.by_metric.items():
        assert abs(share - 0.05) < FOUR_ERRORS, metric
    assert alarms.by_impression > 0.05 + FOUR_ERRORS
    assert alarms.mismatches < 0.01


@pytest.mark.parametrize("boosted", ["room-3", "room-4"])
def test_a_boost_of_a_room_that_guests_like_is_found_and_one_of_another_room_is_not(boosted: str) -> None:
    rule = OperatorRule(
        name="launch", action="boost", at_ms=1_800_000_000_000, rooms=(boosted,), weight=20, enabled=False
    )
    trial = Experiment(name="trial", variants=(Variant(name="without"), Variant(name="with", rules_on=("launch",))))
    found = compare(shown_by_rule(GUESTS, SECONDS, trial, rule, "room-3"), trial.name, trial)
    assert found.sample is not None
    assert not found.sample.mismatch
    enter = found.variants[1].enter
    assert enter is not None
    assert (enter.p < 0.01 and enter.value > 0) is (boosted == "room-3")


def test_a_planted_gain_is_found_and_only_under_the_salt_that_it_has() -> None:
    planted = shown_of(GUESTS, SECONDS, gain=3.0)
    found = compare(planted, PAIR.name, PAIR)
    assert found.sample is not None
    assert not found.sample.mismatch
    assert (found.mixed, found.moved) == (0, 0)
    enter = found.variants[1].enter
    assert enter is not None
    assert enter.p < 0.001
    assert enter.value > 0
    assert false_alarms(planted, 200).by_metric["enter"] < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 200)
