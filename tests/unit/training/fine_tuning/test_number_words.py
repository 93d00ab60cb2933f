"""The bench of numbers in words: an audience is told by its place among the rooms live, by nothing that comes later."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.number_words import RoomNumbers, hits
from training.fine_tuning.text_pairs import PairKind, TextPairs

MESSAGES = [(100, 0)] * 9 + [(100, 1)] * 3 + [(100, 2)] + [(103, 1)] * 2 + [(103, 2)] * 8 + [(112, 2)] + [(400, 1)] * 5


def told(messages: list[tuple[int, int]]) -> RoomNumbers:
    segments, streamers = (np.array(column) for column in zip(*messages, strict=True))
    return RoomNumbers(segments, streamers, 4)


def test_an_audience_and_an_age_are_told_by_their_place_among_the_rooms_live() -> None:
    numbers = told(MESSAGES)
    assert numbers.words(100, 0) == "audience: very high, top 20 percent. live for: medium, top 50 percent. "
    assert numbers.words(100, 2).startswith("audience: very low, top 90 percent. ")
    assert numbers.words(103, 2) == numbers.words(103, 0), "as many as another, in five minutes"
    assert numbers.words(103, 2).startswith("audience: high, top 40 percent. ")
    assert numbers.words(112, 2).startswith("audience: high"), "what was said longer ago counts no more"
    assert numbers.words(400, 1).endswith("live for: medium, top 50 percent. "), "after half an hour it is live anew"


def test_what_is_said_later_changes_nothing() -> None:
    whole, parted = told(MESSAGES), told([one for one in MESSAGES if one[0] <= 103])
    for segment in (100, 103):
        for streamer in (1, 2):
            assert whole.words(segment, streamer) == parted.words(segment, streamer)


@pytest.mark.parametrize("planted", [True, False])
def test_a_projection_finds_partners_by_what_was_planted(planted: bool) -> None:
    rng, count = np.random.default_rng(3), 1_024
    topic_P = rng.integers(0, 40, count)
    vectors = rng.normal(size=(2 * count, 48)).astype(np.float32)
    if planted:
        centres = rng.normal(size=(40, 48)).astype(np.float32)
        vectors += 2 * np.concatenate([centres[topic_P], centres[topic_P]])
    rows = np.arange(count, dtype=np.int32)
    pairs = TextPairs(
        ("",) * (2 * count), rows, rows + count, topic_P.astype(np.int32), topic_P.astype(np.int32),
        rows.astype(np.int64), np.full(count, PairKind.COVISIT, np.int8),
    )  # fmt: skip
    nearest, ten = hits(vectors, pairs, 0).mean(axis=0)
    assert (nearest > 0.5) == planted
    assert ten >= nearest
