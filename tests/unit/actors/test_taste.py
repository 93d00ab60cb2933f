"""Owns the tests of what a profile says a viewer likes. Never ranks rooms."""

from __future__ import annotations

import math

import pytest

from actors.taste import BROAD_WEIGHT, Taste, taste_of
from streaming.events import ViewerId
from tests.unit.actors.replica import Replica


def taste_after(*categories: str, broad_category: str = "") -> Taste:
    """The taste of a viewer who watched a room of each of these categories alike."""
    replica = Replica()
    for number, category in enumerate(categories):
        replica.room(f"room {number}", category=category)
    replica.viewer("v", *[f"room {number}" for number in range(len(categories))])
    raw = replica.tables.viewers.raw(ViewerId("v"))
    assert raw is not None
    profile = replica.tables.viewers.decode(raw)
    return taste_of(profile, replica.tables.rooms, replica.clock.now_ms(), broad_category)


def test_a_share_is_the_root_of_a_part_of_the_visits() -> None:
    taste = taste_after("chess", "chess", "art", "chess")
    assert taste.categories == pytest.approx({"chess": 1, "art": math.sqrt(1 / 3)})
    assert taste.top_categories == ("chess", "art")


def test_visits_under_the_label_for_everything_say_little() -> None:
    taste = taste_after("anything", "anything", "art", broad_category="anything")
    assert taste.categories == pytest.approx({"art": 1, "anything": math.sqrt(2 * BROAD_WEIGHT)})
    alone = taste_after("anything", broad_category="anything")
    assert alone.categories == {"anything": 1}
