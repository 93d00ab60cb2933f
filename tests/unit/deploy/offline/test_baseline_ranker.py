"""Version 0 of recorded chat scores as a replica would, and sees nothing of what comes later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import Tables
from deploy.offline.baseline_ranker import VersionZero
from streaming.clock import ManualClock
from streaming.log.codec import encode
from streaming.log.log import Batch, Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import ROOM_STATES, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.recorded.replay import Channel
from streaming.room.window_config import WindowConfig
from tests.unit.training.evaluation.test_causality import Silent
from tests.unit.training.recorded.recorded_chat import Said, chat_of, crowd
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.recorded.chat import Chat
from training.recorded.content_timeline import ContentTimeline
from training.recorded.replay_state import Moment
from training.recorded.segments import cut

KNOWN = {f"c{i}": Channel(f"title {i}", ("Chess", "Racing")[i % 2], ("en", "es", "")[i % 3]) for i in range(8)}
SAID = crowd(12, 1500)


def timeline_of(chat: Chat, said: Sequence[Said]) -> ContentTimeline:
    segments = cut(chat, pa.array([f"the {one.viewer} is what they say" for one in said]), WindowConfig())
    vectors_SD = np.random.default_rng(1).standard_normal((len(segments), 8)).astype(np.float16)
    return ContentTimeline(
        chat.channels, segments, vectors_SD, np.zeros((len(chat.channels), 8), np.float16), config=WindowConfig(),
        title_weight=0.4,
    )  # fmt: skip


def answered(version_zero: VersionZero, viewer: int, at_ms: int) -> dict[str, float]:
    """Streamer → score, of a replica to which the log brings the same rooms and the viewer's profile."""
    clock = ManualClock(at_ms)
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig(max_rooms=16)), MemoryMetrics(), clock, max_rooms=16)
    records = [
        MemoryRecord(ROOM_STATES, 0, offset, at_ms, snapshot.state.room.encode(), encode(snapshot.state))
        for offset, snapshot in enumerate(version_zero.rooms.snapshots.values())
    ]
    batch = {Partition(ROOM_STATES, 0): records}
    profile = version_zero.profile(viewer)
    if profile is not None:
        record = MemoryRecord(VIEWER_PROFILES, 0, 0, at_ms, str(viewer).encode(), encode(profile))
        batch[Partition(VIEWER_PROFILES, 0)] = [record]
    tables.apply(Batch(records=batch))
    recommender = Recommender(tables, RecommendConfig(impressions=0), MemoryMetrics(), clock)
    answer = recommender.recommend(Query(viewer=str(viewer), explain=True))
    return {item.streamer: sum(item.terms.values()) for item in answer.rooms if item.terms}


class Compared(VersionZero):
    """Asks a replica as well, every tenth time."""

    def __init__(self, chat: Chat, content: ContentTimeline | None) -> None:
        super().__init__(chat.channels, KNOWN, content=content)
        self._channels_C = chat.channels
        self.asked = self.known = self.rooms_compared = 0

    def score(self, moment: Moment) -> NDArray[np.float64]:
        score_N = super().score(moment)
        self.asked += 1
        if self.asked % 10 == 0:
            found = answered(self, moment.viewer, moment.at_us // 1_000)
            self.known += self.profile(moment.viewer) is not None
            for channel, score in zip(moment.live_N, score_N, strict=True):
                name = self._channels_C[channel]
                if score >= 0 and name in found:
                    assert score == pytest.approx(found[name], abs=2e-3)
                    self.rooms_compared += 1
        return score_N


@pytest.mark.parametrize("with_content", [False, True])
def test_the_score_is_that_of_a_replica_with_the_same_rooms_and_profile(with_content: bool) -> None:
    chat = chat_of(SAID, 900)
    compared = Compared(chat, timeline_of(chat, SAID) if with_content else None)
    evaluate(chat, [compared], EvaluateConfig(train_visits=10), Silent())
    assert compared.known > 5
    assert compared.rooms_compared > 50


def ranks_of(said: Sequence[Said], num_train: int, known: dict[str, Channel]) -> list[list[str]]:
    """Of each visit of the test, the channels live, best first."""
    chat = chat_of(said, num_train)

    class Sink:
        def __init__(self) -> None:
            self.ranked: list[list[str]] = []

        def add(self, moment: Moment, ranked_N: NDArray[np.intp]) -> None:
            self.ranked.append([chat.channels[channel] for channel in ranked_N])

    sink = Sink()
    version_zero = VersionZero(chat.channels, known)
    evaluate(chat, [version_zero], EvaluateConfig(), Silent(), sinks={"version 0": sink})
    return sink.ranked


def others(at_s: float, *channels: str) -> list[Said]:
    return [Said(at_s + i / 10, channel, f"{channel} {at_s}") for i, channel in enumerate(channels)]


T0 = 1_700_000_000.0


def test_who_visits_a_streamer_finds_them_first_and_the_room_they_are_in_last() -> None:
    said = [Said(T0, "small", "v"), Said(T0 + 1, "here", "v")]
    said += [each for i in range(20) for each in others(T0 + 2 + i, "large", "large", "here", "small")]
    said += [Said(T0 + 60, "large", "v"), Said(T0 + 61, "here", "w")]
    first, _ = ranks_of(said, len(said) - 2, {})
    assert (first[0], first[-1]) == ("small", "here")


def test_rooms_of_a_category_that_the_viewer_likes_come_before_larger_ones() -> None:
    known = {"chess 1": Channel("", "Chess"), "chess 2": Channel("", "Chess"), "large": Channel("", "Racing")}
    said = [Said(T0, "chess 1", "v")]
    for i in range(20):
        said += [*others(T0 + 2 + i, "large", "chess 1", "chess 2"), *others(T0 + 2.5 + i, "large")]
    said += [Said(T0 + 60, "chess 2", "v"), Said(T0 + 61, "large", "w")]
    liked, stranger = ranks_of(said, len(said) - 2, known)
    assert liked == ["chess 2", "large", "chess 1"]
    assert stranger[0] == "large"


def test_a_room_that_is_live_only_because_it_is_entered_is_known_by_its_streamer_alone() -> None:
    said = [Said(T0, "asleep", "v"), Said(T0 + 1, "gone", "u"), *others(T0 + 2, "a", "b")]
    said += [*others(T0 + 2000, "a", "b"), Said(T0 + 2010, "asleep", "v"), Said(T0 + 2011, "gone", "w")]
    visited, stranger = ranks_of(said, len(said) - 2, {})
    assert visited[0] == "asleep"
    assert stranger[-1] == "gone"


def test_what_happens_later_changes_no_score_before() -> None:
    cut_s = SAID[1200].at_s
    later = [one if one.at_s < cut_s else Said(one.at_s, f"c{i % 8}", f"v{i % 120}") for i, one in enumerate(SAID)]

    class Kept(VersionZero):
        scores: list[tuple[int, bytes]]

        def score(self, moment: Moment) -> NDArray[np.float64]:
            score_N = super().score(moment)
            self.scores.append((moment.at_us, score_N.tobytes()))
            return score_N

    kept = []
    for said in (SAID, later):
        chat = chat_of(said, 900)
        ranker = Kept(chat.channels, KNOWN)
        ranker.scores = []
        evaluate(chat, [ranker], EvaluateConfig(train_visits=10), Silent())
        kept.append(ranker.scores)
    early = [[score for at_us, score in scores if at_us < cut_s * 1e6] for scores in kept]
    assert len(early[0]) > 20
    assert early[0] == early[1]
    assert kept[0] != kept[1]  # otherwise the test could not fail
