"""Tests of the order that a ranker's probabilities give."""

from __future__ import annotations

import numpy as np
import pytest

from actors.recommend.scoring import ordered


def test_the_most_probable_come_first_and_bear_certainty() -> None:
    probability_N = np.array([0.2, 1.0, 0.5, 0.0, 0.9, 0.5], np.float32)
    best_K, odds_K, enter_K = ordered(probability_N, 5)
    assert best_K.tolist() == [1, 4, 2, 5, 0]  # of equals the first
    assert np.isfinite(odds_K).all()
    assert (np.diff(odds_K) <= 0).all()
    assert odds_K[1:].tolist() == pytest.approx([np.log(9), 0, 0, -np.log(4)], abs=1e-4)
    assert enter_K.tolist() == [1.0, 0.9, 0.5, 0.5, 0.2]


@pytest.mark.parametrize("most", [1, 60, 300, 1_000])
def test_the_order_is_that_of_sorting(most: int) -> None:
    probability_N = np.random.default_rng(0).random(300).astype(np.float32).round(2)
    best_K, odds_K, enter_K = ordered(probability_N, most)
    np.testing.assert_array_equal(best_K, np.argsort(-probability_N, kind="stable")[:most])
    np.testing.assert_array_equal(enter_K, probability_N[best_K].astype(np.float64).round(4))
    exact_K = np.clip(probability_N[best_K].astype(np.float64), 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(odds_K, np.log(exact_K / (1 - exact_K)), atol=1e-4)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_gives_no_order(odd: float) -> None:
    probability_N = np.array([0.2, odd, 0.5], np.float32)
    assert not len(ordered(probability_N, 3)[0])
    assert not len(ordered(probability_N[:1], 0)[0])
