"""Version 0's score on slates is that of a replica, as far as a slate holds what it is made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from actors.taste import BROAD_WEIGHT, VISIT_HALF_LIFE_MS, taste_of
from actors.weights import Weights
from streaming.events import RoomId, StreamerId, ViewerId, ViewerProfile, Visit
from tests.unit.actors.replica import Replica, axis
from tests.unit.training.random_slates import random_slates
from training import zero_score
from training.features import COLUMN
from training.labels import label
from training.slates import Slates
from training.zero_score import LABEL_WEIGHTS, zero_scores

ABOUT = [("en", "music"), ("en", "Just Chatting"), ("de", "chess"), ("de", "music"), ("fr", "chess"), ("en", "art")]


def blank(num: int) -> Slates:
    """Slates that tell rooms apart by labels and content alone."""
    slates = random_slates(num)
    features_RF = np.zeros_like(slates.features_RF)
    features_RF[:, COLUMN["own_visit_age_s"]] = np.nan
    now_KD = np.zeros_like(slates.contents.now_KD)
    contents = dataclasses.replace(slates.contents, now_KD=now_KD)
    return dataclasses.replace(slates, features_RF=features_RF, contents=contents)


def test_weights_are_those_of_the_replica() -> None:
    weights = Weights()
    assert (weights.language, weights.category) == LABEL_WEIGHTS
    assert zero_score.BROAD_WEIGHT == BROAD_WEIGHT
    assert zero_score.VISIT_HALF_LIFE_S == VISIT_HALF_LIFE_MS / 1_000


def test_shares_of_categories_and_languages_are_those_of_a_replicas_taste() -> None:
    rng, replica, weights = np.random.default_rng(4), Replica(), Weights()
    dwell_s, gap_s = rng.integers(60, 3_000, len(ABOUT)), rng.integers(3_000, 9_000, len(ABOUT))
    profile = visited(replica, dwell_s.tolist(), gap_s.tolist())
    taste = taste_of(profile, replica.tables.rooms, replica.clock.now_ms(), "Just Chatting")
    slates = blank(1)
    shown = [ABOUT[number % len(ABOUT)] for number in range(int(slates.size_V[0]))]
    slates.labels_R2[:] = [(label(language), label(category)) for language, category in shown]
    slates.pasts.labels_VT2[0] = [(label(language), label(category)) for language, category in ABOUT]
    slates.pasts.length_V[:], slates.pasts.action_VT[:] = len(ABOUT), 0
    slates.pasts.dwell_s_VT[0], slates.pasts.gap_s_VT[0] = dwell_s, gap_s
    expected = np.array(
        [weights.language * taste.languages[one] + weights.category * taste.categories[other] for one, other in shown]
    )
    scores = zero_scores(slates)
    assert scores - scores[0] == pytest.approx(expected - expected[0], abs=1e-4)
    assert len(set(np.round(expected, 3))) > 1


def visited(replica: Replica, dwell_s: list[int], gap_s: list[int]) -> ViewerProfile:
    """A viewer of one room after the other, as many as ABOUT has, in none of which they said anything."""
    visits, entered_ms = [], replica.clock.now_ms() - 1_000 * sum(gap_s)
    for number, (language, category) in enumerate(ABOUT):
        room, streamer = RoomId(f"r{number}"), StreamerId(f"streamer of r{number}")
        replica.room(room, language=language, category=category, title_vector=axis(0))
        watch_ms = 1_000 * dwell_s[number]
        visits.append(Visit(room, streamer, entered_ms, entered_ms + watch_ms, watch_ms, 0, 0, 0))
        entered_ms += 1_000 * gap_s[number]
    return ViewerProfile(
        viewer=ViewerId("v"), visits=tuple(visits), habits=(), room=None, total_visits=len(visits), total_events=6,
        first_at_ms=0, last_at_ms=visits[-1].last_at_ms, recent_events=(), appended_ms=replica.clock.now_ms(),
    )  # fmt: skip


def test_a_room_like_those_visited_comes_before_one_that_is_not_and_a_stranger_sees_neither() -> None:
    slates = blank(2)
    D = slates.contents.now_KD.shape[1]
    slates.contents.now_KD[:2] = np.eye(D)[:2]
    slates.labels_R2[:], slates.pasts.labels_VT2[:] = 0, 0
    slates.pasts.now_VT[:] = 1
    slates.now_R[:] = 0
    slates.now_R[slates.starts()] = 1
    slates.pasts.length_V[:] = [3, 0]
    scores, first = zero_scores(slates), slates.starts()
    assert scores[first[0]] - scores[first[0] + 1] == pytest.approx(Weights().content, abs=1e-3)
    assert scores[first[1]] == scores[first[1] + 1]
