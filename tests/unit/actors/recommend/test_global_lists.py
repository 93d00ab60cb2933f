"""The k largest of many are found by blocks, and are those that a sort finds."""

from __future__ import annotations

import numpy as np
import pytest

from actors.recommend.global_lists import BLOCK, FEW_BLOCKS, most
from training.baseline import rise

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


def test_a_room_rises_where_chat_is_faster_than_in_its_minute() -> None:
    now_N = np.array([0, 10, 20, 60, 0, 12, 6], np.float32)
    rising_N = rise(now_N, np.array([0, 60, 60, 60, 60, 12, 6], np.float32))
    assert rising_N[0] == rising_N[1] == rising_N[4] == 0, "nothing, as fast as ever, and silence after chat"
    assert rising_N[6] == 0, "one chatter who writes what counts of it is no crowd that comes"
    assert 0 < rising_N[5] < 1
    assert 0 < rising_N[2] < rising_N[3] == 1
