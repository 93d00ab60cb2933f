"""The comparison of a candidate with what is live: it changes no answer, and goes live without being loaded."""

from __future__ import annotations

import numpy as np
import pytest

from actors.recommend.shadow_scoring import overlap, rank_correlation
from tests.unit.actors.replica import axis
from tests.unit.actors.swap_world import World, versions_of


def test_a_candidate_is_scored_in_the_shadow_and_changes_no_answer() -> None:
    world = World(shadow=1.0)
    world.live("one")
    recommender, metrics = world.replica.recommender, world.replica.metrics
    before = world.answer(explain=True)
    world.live("two", "candidate")
    for _ in range(5):
        assert world.answer(explain=True).rooms == before.rooms
    recommender._shadow.compare(world.replica.clock.now_ms())
    overlaps = metrics.observed("shadow_overlap_ratio")
    assert len(overlaps) == 5
    assert all(0 < overlap <= 1 for overlap in overlaps)
    assert len(metrics.observed("shadow_correlation_ratio")) == 5
    assert len(metrics.observed("shadow_seconds", role="candidate")) == 5
    assert versions_of(world.answer()) == {"one"}


def test_a_candidate_follows_the_rooms_and_goes_live_without_being_loaded_again() -> None:
    world = World(shadow=1.0)
    world.live("one", "candidate")
    for number in range(30):
        world.replica.room(f"r{number}", title_vector=axis((number + 5) % 8))
    world.turn()
    world.live("one")
    world.check_rows()
    assert world.loaded == ["one"]
    assert versions_of(world.answer()) == {"one"}


def test_a_candidate_that_cannot_be_loaded_is_left_out_and_tried_no_more() -> None:
    world = World(shadow=1.0)
    world.live("damaged", "candidate")
    world.turn()
    assert world.loaded == ["damaged"]
    world.answer()
    world.replica.recommender._shadow.compare(0)
    assert world.replica.metrics.observed("shadow_overlap_ratio") == []
    world.live("two", "candidate")
    world.answer()
    world.replica.recommender._shadow.compare(world.replica.clock.now_ms())
    assert len(world.replica.metrics.observed("shadow_overlap_ratio")) == 1


def test_agreement_is_the_share_of_the_best_and_the_order_of_what_is_common() -> None:
    ours, theirs = np.array([1, 2, 3, 4]), np.array([4, 3, 2, 9])
    assert overlap(ours, theirs) == 0.75
    assert rank_correlation(ours, theirs) == pytest.approx(-1)
    assert rank_correlation(ours, ours) == pytest.approx(1)
    assert rank_correlation(ours, np.array([2, 3, 4, 1])) == pytest.approx(-0.2)
    assert rank_correlation(ours, np.array([7, 8, 1])) is None
