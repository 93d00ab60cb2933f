"""Metrics and intervals, against figures computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.metrics import METRICS, gains, measure, small, spread


def test_each_metric_of_a_rank_is_what_its_definition_says() -> None:
    expected = {1: (1, 1, 1, 1), 3: (0.5, 0, 1, 1 / 3), 10: (0.2890648263, 0, 1, 0.1), 11: (0, 0, 0, 1 / 11)}
    assert gains(np.array(list(expected))) == pytest.approx(np.array(list(expected.values())))


def test_a_group_is_the_mean_over_its_visits_and_an_empty_one_has_no_metrics() -> None:
    rank_RV, viewer_V = np.array([[1, 3, 11]]), np.array([5, 5, 9])
    groups = {"all": np.ones(3, bool), "first two": np.array([True, True, False]), "none": np.zeros(3, bool)}
    measured = measure(rank_RV, viewer_V, groups, seed=1)[0].groups
    assert measured["all"].metrics["NDCG@10"].mean == pytest.approx(0.5)
    assert measured["all"].metrics["MRR"].mean == pytest.approx((1 + 1 / 3 + 1 / 11) / 3)
    assert (measured["first two"].visits, measured["first two"].viewers) == (2, 1)
    assert measured["first two"].metrics["NDCG@10"].mean == pytest.approx(0.75)
    assert measured["none"].visits == 0
    assert not measured["none"].metrics


def test_viewers_are_resampled_so_that_copies_of_a_viewers_visits_narrow_nothing() -> None:
    rng = np.random.default_rng(3)
    rank_U = rng.integers(1, 12, 200)
    once, copied = (
        measure(np.repeat(rank_U, n)[None], np.repeat(np.arange(200), n), {"all": np.ones(200 * n, bool)}, seed=1)[
            0
        ].groups
        for n in (1, 20)
    )
    for name in METRICS:
        assert copied["all"].metrics[name].low == pytest.approx(once["all"].metrics[name].low)
        assert copied["all"].metrics[name].high == pytest.approx(once["all"].metrics[name].high)
    interval, mean = once["all"].metrics["NDCG@10"], gains(rank_U)[:, 0]
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * mean.std() / np.sqrt(200), rel=0.15)


def test_a_difference_is_measured_on_the_same_draws() -> None:
    rng = np.random.default_rng(4)
    reference_V = rng.integers(1, 30, 3000)
    better_V = np.where(rng.random(3000) < 0.01, 1, reference_V)
    groups = {"all": np.ones(3000, bool), "none": np.zeros(3000, bool)}
    measured = measure(np.stack([better_V, reference_V]), np.arange(3000) // 3, groups, seed=1, reference=1)
    assert not measured[1].differences
    assert set(measured[0].differences) == {"all"}
    difference = measured[0].differences["all"]["NDCG@10"]
    assert difference.mean == pytest.approx((gains(better_V) - gains(reference_V))[:, 0].mean())
    by_viewer_U = (gains(better_V) - gains(reference_V))[:, 0].reshape(1000, 3).mean(axis=1)
    width = 2 * 1.96 * by_viewer_U.std() / np.sqrt(1000)
    assert difference.high - difference.low == pytest.approx(width, rel=0.1)
    assert difference.low > 0  # though the intervals of the two overlap
    figures = [each.groups["all"].metrics["NDCG@10"] for each in measured]
    assert figures[0].low < figures[1].high


def test_without_a_reference_there_are_no_differences() -> None:
    measured = measure(np.array([[1, 2], [2, 1]]), np.array([0, 1]), {"all": np.ones(2, bool)}, seed=1)
    assert not any(each.differences for each in measured)


def test_spread_knows_the_even_the_single_and_the_small() -> None:
    live_C = np.array([True, True, True, True, False])
    small_C = small(np.array([9, 1, 8, 2, 0]), live_C)
    assert small_C.tolist() == [False, True, False, True, False]
    even = spread(np.array([5, 5, 5, 5, 0]), live_C, small_C)
    assert (even.gini, even.small_share, even.coverage) == (0, 0.5, 1)
    single = spread(np.array([0, 7, 0, 0, 0]), live_C, small_C)
    assert (single.gini, single.small_share, single.coverage) == (0.75, 1, 0.25)
