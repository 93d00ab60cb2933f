"""A room that changes its topic moves within one window, in versions that have learned; by its ID alone it stays."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.bench.topic_switch import AFTER_S, TRAINING, Moved, platform, run
from tests.simulated import WordEncoder


@pytest.fixture(scope="module")
def moved() -> dict[str, Moved]:
    """After one window, by what the room tower reads."""
    torch.set_num_threads(1)
    training = dataclasses.replace(TRAINING, share=0.7)
    found = run(platform(3, rooms=80, viewers=500), 30, WordEncoder(), training)
    return {one.sides: one for one in found if one.after_s == AFTER_S[-1] == 30}


def test_within_one_window_vector_code_and_rank_of_the_room_move(moved: dict[str, Moved]) -> None:
    both = moved["both"]
    assert both.rooms >= 5
    assert both.viewers >= 20
    assert both.cosine < 0.95
    assert both.codes_changed > 0.3  # codes are few: some new topics share one with the old
    assert both.rank < both.rank_before - 0.3  # up, for viewers who like the new topic
    assert both.risen > 1.5 * both.fallen


def test_by_its_streamer_alone_nothing_of_the_room_moves(moved: dict[str, Moved]) -> None:
    alone = moved["id"]
    assert alone.cosine == pytest.approx(1, abs=1e-6)
    assert (alone.codes_changed, alone.risen, alone.fallen, alone.gate) == (0, 0, 0, 0)
    assert alone.rank == alone.rank_before
