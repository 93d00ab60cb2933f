"""Tests of intervals by viewer: the delta method agrees with a bootstrap of viewers, and covers what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from training.report.clustered_ratio import Ratio, difference, ratio

Floats = NDArray[np.float64]


def viewers(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Enters and impressions of viewers, some of whom are shown much, and some of whom enter much."""
    shown_V = np.ceil(rng.lognormal(3, 1, count))
    eager_V = rng.beta(0.2, 1.8, count)  # 0.1 in the mean
    return rng.binomial(shown_V.astype(int), eager_V).astype(float), shown_V


def test_the_error_is_that_of_a_bootstrap_of_viewers() -> None:
    rng = np.random.default_rng(1)
    entered_V, shown_V = viewers(rng, 4_000)
    found = ratio(entered_V, shown_V)
    drawn = rng.integers(0, len(shown_V), (1_000, len(shown_V)))
    resampled = entered_V[drawn].sum(axis=1) / shown_V[drawn].sum(axis=1)
    assert found.value == entered_V.sum() / shown_V.sum()
    assert found.error == pytest.approx(resampled.std(), rel=0.08)
    independent = math.sqrt(found.value * (1 - found.value) / shown_V.sum())
    assert found.error > 3 * independent  # what a test that takes impressions for independent would say


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(1_000):
        found = ratio(*viewers(rng, 2_000))
        inside += found.low <= 0.1 <= found.high
    assert 925 <= inside <= 970


def test_a_difference_of_other_viewers_has_the_p_of_a_normal() -> None:
    found = difference(Ratio(0.12, 0.003, 100), Ratio(0.10, 0.004, 100))
    assert found.value == pytest.approx(0.02)
    assert found.error == pytest.approx(0.005)
    assert found.p == pytest.approx(6.334e-5, rel=1e-3)  # of four standard errors
    assert (found.low, found.high) == pytest.approx((0.0102, 0.0298), abs=1e-4)


def test_what_cannot_be_known_is_not_a_number() -> None:
    nothing = ratio(np.zeros(0), np.zeros(0))
    one = ratio(np.array([2.0]), np.array([5.0]))
    assert math.isnan(nothing.value)
    assert (one.value, math.isnan(one.error)) == (0.4, True)
    assert math.isnan(difference(one, one).p)


def test_figures_without_any_spread_differ_for_sure_or_not_at_all() -> None:
    same = ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
    assert same.error == 0
    assert difference(same, same).p == 1
    assert difference(Ratio(0.6, 0.0, 2), same).p == 0
