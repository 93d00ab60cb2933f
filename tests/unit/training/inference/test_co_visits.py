"""Moves between streamers: counted as time passes, frozen into a version, the same columns from both."""

from __future__ import annotations

import numpy as np

from training.examples.co_visit_counts import TransitionCounts
from training.inference.co_visits import Transitions


def counted(seed: int = 1, viewers: int = 40, streamers: int = 9) -> tuple[TransitionCounts, list[list[int]]]:
    rng = np.random.default_rng(seed)
    counts, pasts = TransitionCounts(), [[] for _ in range(viewers)]
    for viewer in rng.integers(0, viewers, 600).tolist():
        streamer = int(rng.integers(0, streamers))  # 0 is a streamer that nobody knows
        counts.visit(pasts[viewer], streamer)
        pasts[viewer].append(streamer)
    return counts, pasts


def test_frozen_counts_give_the_columns_of_the_counts_themselves() -> None:
    counts, pasts = counted()
    frozen = counts.export(9)
    rooms = list(range(9))
    for past in pasts:
        expected = counts.columns(past, rooms)
        got = frozen.from_visits(past).columns(np.array(rooms, np.int32))
        np.testing.assert_allclose(got, expected, atol=1e-6)
    assert any(counts.columns(past, rooms)[:, 0].sum() > 0 for past in pasts)
    assert np.array_equal(frozen.totals_S3, counts.totals(rooms))


def test_shares_are_of_the_rooms_given() -> None:
    counts = TransitionCounts()
    for destination, times in ((2, 3), (3, 1)):
        for _ in range(times):
            counts.visit([1], destination)
    assert counts.columns([1], [2, 3])[:, 0].tolist() == [0.75, 0.25]
    assert counts.columns([1], [3])[:, 0].tolist() == [1.0]


def test_a_first_move_counts_apart_from_one_back() -> None:
    counts = TransitionCounts()
    counts.visit([1], 2)
    counts.visit([2, 1], 2)
    assert counts.columns([1], [2, 3])[0].tolist()[:2] == [1.0, 1.0]
    assert counts.export(4).counts.value_XK.tolist() == [[2.0, 1.0]]


def test_totals_tell_first_visits_and_those_of_newcomers() -> None:
    counts = TransitionCounts()
    for before in ([], [1], [2], []):
        counts.visit(before, 1)
    assert counts.totals([1, 2, 0]).tolist() == [[4, 0.75, 0.5], [0, 0, 0], [0, 0, 0]]


def test_unknown_streamers_are_not_counted() -> None:
    counts = TransitionCounts()
    counts.visit([0], 1)
    counts.visit([1], 0)
    assert not counts.columns([0], [1]).any()
    assert not counts.columns([1], [0, 1]).any()


def test_arrays_and_back() -> None:
    counts, pasts = counted()
    frozen = counts.export(9)
    again = Transitions.from_arrays(frozen.arrays())
    rooms = np.arange(9, dtype=np.int32)
    for past in pasts[:10]:
        assert np.array_equal(again.from_visits(past).columns(rooms), frozen.from_visits(past).columns(rooms))
    assert np.array_equal(again.totals_S3, frozen.totals_S3)
