"""The baseline's score on candidate sets is that of a replica, as far as a set holds what it is made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from actors.recommend.recommender import Query
from actors.settings import RecommendConfig
from actors.state.viewer_taste import interest_profile, strength
from streaming.events import ActivityBucket, RoomId, StreamerId, ViewerId, ViewerProfile, Visit
from tests.unit.actors.replica import Replica, axis
from tests.unit.training.random_candidate_sets import random_candidate_sets
from training.content.declared_labels import label
from training.evaluation.logged_baseline import zero_scores
from training.features.features import COLUMN, ROOM_FEATURES, room_features
from training.model.batches import CandidateSets
from training.settings import BaselineWeights

ABOUT = [("en", "music"), ("en", "Just Chatting"), ("de", "chess"), ("de", "music"), ("fr", "chess"), ("en", "art")]


def blank(num: int) -> CandidateSets:
    """Candidate sets whose rooms differ by labels and content alone."""
    candidate_sets = random_candidate_sets(num)
    features_RF = np.zeros_like(candidate_sets.features_RF)
    features_RF[:, COLUMN["own_visit_age_s"]] = np.nan
    now_KD = np.zeros_like(candidate_sets.contents.now_KD)
    contents = dataclasses.replace(candidate_sets.contents, now_KD=now_KD)
    return dataclasses.replace(candidate_sets, features_RF=features_RF, contents=contents)


OTHER = RecommendConfig(
    weights=BaselineWeights(
        visited=1.5,
        content=7.0,
        category=2.5,
        language=0.5,
        arrivals=1.0,
        trending=0.4,
        crowd=3.0,
        rising=0.2,
        fresh=5.0,
    ),
    broad_category="music",
    fresh_half_life_s=90.0,
)
each_configuration = pytest.mark.parametrize("config", [RecommendConfig(), OTHER], ids=["defaults", "other"])


@each_configuration
def test_habits_are_as_strong_as_in_a_replica(config: RecommendConfig) -> None:
    candidate_sets = blank(1)
    candidate_sets.pasts.length_V[:] = 0
    visits, ago_s = np.array([0, 1, 3, 40]), np.array([np.nan, 60.0, 86_400.0, 3e7])
    for name, values in (("own_visits", visits), ("own_silence_s", ago_s)):
        candidate_sets.features_RF[:4, COLUMN[name]] = values
    expected = [0.0, *[strength(v, s / 86_400) for v, s in zip(visits[1:].tolist(), ago_s[1:].tolist(), strict=True)]]
    scores = zero_scores(candidate_sets, config.baseline)
    assert scores[:4] - scores[0] == pytest.approx(config.weights.visited * np.array(expected), abs=1e-5)


@each_configuration
def test_crowds_count_as_in_a_replica(config: RecommendConfig) -> None:
    rng, replica = np.random.default_rng(3), Replica(config=config)
    now_ms, rooms = replica.clock.now_ms() // 10_000 * 10_000 + 4_000, 5
    replica.clock.advance(now_ms - replica.clock.now_ms())
    for number in range(rooms):
        buckets = tuple(
            ActivityBucket(now_ms // 10_000 * 10_000 - 10_000 * ago, *rng.integers(0, 9, 3).tolist())
            for ago in range(59, -1, -1)
        )
        replica.room(
            f"r{number}", recent=buckets, recent_messages=tuple(rng.integers(0, 40, 61).tolist()), entered=90 * number,
            recent_messages_ms=now_ms // 10_000 * 10_000, left=number % 2, started_at_ms=now_ms - 60_000 * number,
        )  # fmt: skip
    answer = replica.recommender.recommend(Query(viewer="stranger", explain=True))
    found = {item.room: item.score for item in answer.rooms}
    lately, slots = replica.tables.rooms.lately, replica.tables.rooms.slots()
    candidate_sets = blank(1)
    candidate_sets.pasts.length_V[:] = 0
    size = int(candidate_sets.size_V[0])
    candidate_sets = dataclasses.replace(candidate_sets, size_V=np.array([rooms], np.int32))
    assert size >= rooms
    candidate_sets.features_RF[:rooms, : len(ROOM_FEATURES)] = room_features(lately.rooms(slots, now_ms))
    names = [replica.tables.rooms.by_slot[slot].state.room for slot in slots.tolist()]
    scores = zero_scores(
        dataclasses.replace(candidate_sets, features_RF=candidate_sets.features_RF[:rooms]), config.baseline
    )
    expected = [found[name] for name in names]
    # a replica's minutes are of whole buckets for entries, a candidate set's to the second
    assert scores == pytest.approx(expected, abs=0.1)
    assert np.argsort(scores).tolist() == np.argsort(expected).tolist()
    assert max(expected) - min(expected) > 0.2


@each_configuration
def test_shares_of_categories_and_languages_are_those_of_a_replicas_taste(config: RecommendConfig) -> None:
    rng, replica, weights = np.random.default_rng(4), Replica(), config.weights
    dwell_s, gap_s = rng.integers(60, 3_000, len(ABOUT)), rng.integers(3_000, 9_000, len(ABOUT))
    profile = visited(replica, dwell_s.tolist(), gap_s.tolist())
    interests = interest_profile(profile, replica.tables.rooms, replica.clock.now_ms(), config.broad_category)
    candidate_sets = blank(1)
    shown = [ABOUT[number % len(ABOUT)] for number in range(int(candidate_sets.size_V[0]))]
    candidate_sets.labels_R2[:] = [(label(language), label(category)) for language, category in shown]
    candidate_sets.pasts.labels_VT2[0] = [(label(language), label(category)) for language, category in ABOUT]
    candidate_sets.pasts.length_V[:], candidate_sets.pasts.action_VT[:] = len(ABOUT), 0
    candidate_sets.pasts.dwell_s_VT[0], candidate_sets.pasts.gap_s_VT[0] = dwell_s, gap_s
    expected = np.array(
        [
            weights.language * interests.languages[one] + weights.category * interests.categories[other]
            for one, other in shown
        ]
    )
    scores = zero_scores(candidate_sets, config.baseline)
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


@each_configuration
def test_a_room_like_those_visited_comes_before_one_that_is_not_and_a_stranger_sees_neither(
    config: RecommendConfig,
) -> None:
    candidate_sets = blank(2)
    D = candidate_sets.contents.now_KD.shape[1]
    candidate_sets.contents.now_KD[:2] = np.eye(D)[:2]
    candidate_sets.labels_R2[:], candidate_sets.pasts.labels_VT2[:] = 0, 0
    candidate_sets.pasts.now_VT[:] = 1
    candidate_sets.now_R[:] = 0
    candidate_sets.now_R[candidate_sets.starts()] = 1
    candidate_sets.pasts.length_V[:] = [3, 0]
    scores, first = zero_scores(candidate_sets, config.baseline), candidate_sets.starts()
    assert scores[first[0]] - scores[first[0] + 1] == pytest.approx(config.weights.content, abs=1e-3)
    assert scores[first[1]] == scores[first[1] + 1]


def test_no_broad_category_is_a_setting_too() -> None:
    candidate_sets = blank(1)
    candidate_sets.labels_R2[:], candidate_sets.pasts.labels_VT2[:] = 0, 0
    candidate_sets.labels_R2[0], candidate_sets.pasts.labels_VT2[0, -1] = (0, label("music")), (0, label("music"))
    candidate_sets.pasts.length_V[:] = 2  # one visit to a room of which nobody said what it was about
    none = zero_scores(candidate_sets, RecommendConfig(broad_category="").baseline)
    assert none == pytest.approx(zero_scores(candidate_sets, RecommendConfig().baseline))
    assert none[0] - none[1] < RecommendConfig().weights.category  # the others get the average of those that say it
