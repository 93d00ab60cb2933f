"""Where the straight lines of the ranker's features bend."""

from __future__ import annotations

import numpy as np
import pytest

from training.model.ranker import BEYOND, quantile_knots


def test_knots_are_quantiles_of_what_is_known() -> None:
    values_RF = np.concatenate([np.arange(101, dtype=np.float32), np.full(50, np.nan, np.float32)])[:, None]
    assert quantile_knots(values_RF, 4)[0].tolist() == [0, 25, 50, 75, 100]


def test_a_value_that_most_rooms_have_takes_one_knot_and_the_others_share_the_rest() -> None:
    rare = np.arange(1, 101, dtype=np.float32)
    values_RF = np.concatenate([np.zeros(900, np.float32), rare])[:, None]
    knots_Q = quantile_knots(values_RF, 8)[0]
    assert knots_Q[0] == 0
    assert knots_Q[1:] == pytest.approx(np.quantile(rare, np.linspace(0, 1, 8)))


@pytest.mark.parametrize("values", [[], [np.nan], [3.0], [3.0, 3.0], [0.0, 0.0, 1.0, 1.0], [1.0, 1.0 + 1e-6, 2.0]])
def test_knots_ascend_whatever_the_values(values: list[float]) -> None:
    knots_Q = quantile_knots(np.array(values, np.float32)[:, None], 8)[0]
    assert knots_Q.shape == (9,)
    assert (np.diff(knots_Q) > 0).all()
    assert np.isfinite(knots_Q).all()


def test_what_was_never_known_reaches_no_knot() -> None:
    knots_FQ = quantile_knots(np.array([[np.nan, 1.0], [np.nan, 2.0]], np.float32), 4)
    assert (knots_FQ[:, 0] >= np.float32(BEYOND)).tolist() == [True, False]
