"""The k largest of many are found by blocks, and are those that a sort finds."""

from __future__ import annotations

import numpy as np
import pytest

from actors.pools import BLOCK, FEW_BLOCKS, most

K = 8
LEAST = FEW_BLOCKS * K * BLOCK  # values of which blocks are looked at


@pytest.mark.parametrize("num", [0, 1, K, K + 1, LEAST - 1, LEAST, LEAST + 1, 5 * LEAST + 17])
@pytest.mark.parametrize("distinct", [1, 3, 1_000_000])
def test_the_most_are_those_that_a_sort_finds(num: int, distinct: int) -> None:
    values = np.random.default_rng(num).integers(0, distinct, num).astype(np.float32)
    found = most(values, K)
    assert len(set(found.tolist())) == min(num, K)
    np.testing.assert_array_equal(np.sort(values[found]), np.sort(values)[-K:])


def test_the_most_may_lie_in_one_block_or_behind_the_last() -> None:
    values = np.zeros(3 * LEAST + 5, np.float32)
    values[[7, 7 + len(values) // BLOCK, -1, -2]] = 1  # a block is what lies so far apart
    assert {7, 7 + len(values) // BLOCK, len(values) - 1, len(values) - 2} <= set(most(values, K).tolist())
