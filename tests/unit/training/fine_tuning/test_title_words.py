"""The probe of titles: it finds words that were planted in vectors, and none in vectors dealt to other texts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.title_words import Told, dealt, figures, interval, measures, probed

STREAMERS, TEXTS, TOPICS = 24, 20, 6


def planted() -> tuple[Told, np.ndarray]:
    """Streamers of six topics, whose title says the topic and one word of its own; vectors are a topic's and noise."""
    rng = np.random.default_rng(3)
    streamer_N = rng.permutation(np.repeat(np.arange(STREAMERS), TEXTS))
    titles = tuple(f"Topic{who % TOPICS} game{who % TOPICS}! own{who}" for who in streamer_N.tolist())
    topics_TD = rng.normal(size=(TOPICS, 32))
    vectors_ND = topics_TD[streamer_N % TOPICS] + rng.normal(size=(len(streamer_N), 32))
    return Told(("",) * len(streamer_N), streamer_N, titles), vectors_ND


def test_words_that_follow_from_the_vector_are_told_for_streamers_not_learned_from_and_dealt_vectors_tell_none() -> (
    None
):
    told, vectors_ND = planted()
    real, placebo = (probed(one_ND, told)["other streamers"] for one_ND in (vectors_ND, dealt(vectors_ND)))
    assert interval(real[:, 0])[1] > 0.9
    assert interval(placebo[:, 0])[2] < 0.4
    gain = figures({"other": real}, {"other": placebo})["other, MAP, gain"]
    assert gain[1] > 0.4


def test_a_streamers_own_words_are_looked_for_later_alone() -> None:
    told, vectors_ND = planted()
    assert told.words(2).shape[1] == 2 * TOPICS
    assert told.words(1).shape[1] == 2 * TOPICS + STREAMERS
    later = probed(vectors_ND, told)["later"]
    assert interval(later[:, 0])[0] < 0.95, "vectors say the topic, and not whose chat it is"


def test_average_precision_and_recall_of_a_case_made_by_hand() -> None:
    scores = np.array([[3.0, 2, 1], [3, 2, 1], [1, 2, 3]])
    words = np.array([[True, False, True], [False, False, False], [True, False, False]])
    found = measures(scores, words)
    assert found[[0, 2], 0].tolist() == pytest.approx([(1 + 2 / 3) / 2, 1 / 3])
    assert found[[0, 2], 1].tolist() == [1, 1]
    assert np.isnan(found[1]).all()
