"""Tests of the sample ratio check: its p is chi-square's, it finds lost viewers, and does not cry wolf."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.report.sample_ratio import chi_square_above, sample_ratio


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 19])
@pytest.mark.parametrize("value", [0.01, 1.0, 4.5, 30.0, 300.0])
def test_p_is_that_of_chi_square(freedom: int, value: float) -> None:
    assert chi_square_above(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-9)


def test_a_twentieth_of_a_variants_viewers_that_are_lost_is_found() -> None:
    assert sample_ratio([50_000, 47_500], [1, 1]).mismatch
    assert not sample_ratio([50_000, 49_900], [1, 1]).mismatch


def test_weights_are_taken_into_account() -> None:
    found = sample_ratio([9_000, 1_000, 10_000], [0.9, 0.1, 1.0])
    assert (found.chi_square, found.p, found.mismatch) == (0.0, 1.0, False)
    assert sample_ratio([9_000, 1_000, 10_000], [1, 1, 1]).mismatch


def test_viewers_that_are_divided_fairly_are_called_a_mismatch_as_seldom_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [sample_ratio(rng.multinomial(5_000, [0.2, 0.3, 0.5]).tolist(), [2, 3, 5]) for _ in range(4_000)]
    assert 150 <= sum(one.p < 0.05 for one in found) <= 255
    assert sum(one.mismatch for one in found) <= 14


def test_nobody_and_a_single_variant_are_no_mismatch() -> None:
    assert sample_ratio([0, 0], [1, 1]).p == 1
    assert sample_ratio([7], [1]).p == 1
