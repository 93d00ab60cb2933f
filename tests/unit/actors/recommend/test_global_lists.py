"""Tests of the columns that global lists are made of."""

from __future__ import annotations

import numpy as np

from training.baseline import rise


def test_a_room_rises_where_chat_is_faster_than_in_its_minute() -> None:
    now_N = np.array([0, 10, 20, 60, 0, 12, 6], np.float32)
    rising_N = rise(now_N, np.array([0, 60, 60, 60, 60, 12, 6], np.float32))
    assert rising_N[0] == rising_N[1] == rising_N[4] == 0, "nothing, as fast as ever, and silence after chat"
    assert rising_N[6] == 0, "one chatter who writes what counts of it is no crowd that comes"
    assert 0 < rising_N[5] < 1
    assert 0 < rising_N[2] < rising_N[3] == 1
