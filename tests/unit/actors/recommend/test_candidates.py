"""The lists of a viewer's candidates, one after the other."""

from __future__ import annotations

import numpy as np

from actors.recommend.candidates import joined


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_of_a_category_its_best_are_among_them_and_of_one_that_the_lists_do_not_know_none() -> None:
    starts = numbers(0, 3, 5, 9)[:3]  # what is behind them is not theirs
    by_category = numbers(10, 11, 12, 20, 21, 90, 91, 92, 93)
    found = joined(numbers(1, 2), by_category, starts, numbers(1, 2, -1, 0), 2, numbers(3), numbers(4), numbers(5, 6))
    assert found.tolist() == [1, 2, 20, 21, 10, 11, 3, 4, 5, 6]
