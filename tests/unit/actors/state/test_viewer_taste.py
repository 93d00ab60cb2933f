"""Tests of what a profile says a viewer likes. Never ranks rooms."""

from __future__ import annotations

import math

import pytest

from actors.state.viewer_taste import InterestProfile, interest_profile, strength
from streaming.events import ViewerId
from tests.unit.actors.replica import Replica
from training.baseline import BROAD_WEIGHT


def interests_after(*categories: str, broad_category: str = "") -> InterestProfile:
    """The taste of a viewer who watched a room of each of these categories alike."""
    replica = Replica()
    for number, category in enumerate(categories):
        replica.room(f"room {number}", category=category)
    replica.viewer("v", *[f"room {number}" for number in range(len(categories))])
    raw = replica.tables.viewers.raw(ViewerId("v"))
    assert raw is not None
    profile = replica.tables.viewers.decode(raw)
    return interest_profile(profile, replica.tables.rooms, replica.clock.now_ms(), broad_category)


def test_a_share_is_the_root_of_a_part_of_the_visits() -> None:
    interests = interests_after("chess", "chess", "art", "chess")
    assert interests.categories == pytest.approx({"chess": 1, "art": math.sqrt(1 / 3)})
    assert interests.top_categories == ("chess", "art")


def test_visits_under_the_label_for_everything_say_little() -> None:
    interests = interests_after("anything", "anything", "art", broad_category="anything")
    assert interests.categories == pytest.approx({"art": 1, "anything": math.sqrt(2 * BROAD_WEIGHT)})
    alone = interests_after("anything", broad_category="anything")
    assert alone.categories == {"anything": 1}


def test_a_habit_fades_fast_at_first_and_is_not_forgotten_in_a_month() -> None:
    of_today, of_yesterday, of_last_month = (strength(3, days) for days in (0, 1, 30))
    assert of_today == 0.75
    assert of_today > of_yesterday > of_last_month > 0.5
    assert strength(1, 0) < of_last_month, "to have been there once is less than to have been there three times"
    assert strength(0, 5) == 0
    assert strength(2, -3) == strength(2, 0), "of a clock that runs ahead"
