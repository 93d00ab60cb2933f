"""The baseline ranker of recorded chat: habits and likings first, the room that the viewer is in last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import Tables
from streaming.clock import ManualClock
from streaming.events import ViewerEvent
from streaming.log.codec import encode
from streaming.log.log import Batch, Partition
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import ROOM_STATES, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.recorded.playback import Timeline
from streaming.recorded.replay import Channel
from tests.unit.training.examples.played_chat import chat_of as chat_of_lines
from tests.unit.training.examples.played_chat import evening, replay_of
from tests.unit.training.features.test_one_implementation import Online
from tests.unit.training.recorded.recorded_chat import Said, Silent, chat_of, visits_of
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.evaluation.logged_baseline import VersionZero
from training.evaluation.recorded_examples import Beside
from training.recorded.recorded_visits import RecordedVisits
from training.settings import Baseline

T0 = 1_700_000_000.0


def ranks_of(said: Sequence[Said], num_train: int, known: Mapping[str, Channel]) -> list[list[str]]:
    """Of each visit of the test, the channels live, best first."""
    chat = chat_of(said, num_train)

    class Sink:
        def __init__(self) -> None:
            self.ranked: list[list[str]] = []

        def add(self, visits: RecordedVisits, ranked_R: NDArray[np.intp]) -> None:
            names = [chat.channels[channel] for channel in visits.channel_R[ranked_R].tolist()]
            starts, sizes = visits.sets.starts().tolist(), visits.sets.size_V.tolist()
            self.ranked += [names[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    sink, rankers = Sink(), [VersionZero(Baseline())]
    beside = Beside(known)
    evaluate(chat, rankers, EvaluateConfig(), Silent(), beside=beside, sinks={"version 0": sink})
    return sink.ranked


def others(at_s: float, *channels: str) -> list[Said]:
    return [Said(at_s + i / 10, channel, f"{channel} {at_s}") for i, channel in enumerate(channels)]


def test_who_visits_a_streamer_finds_them_first_and_the_room_they_are_in_last() -> None:
    said = [Said(T0, "small", "v"), Said(T0 + 1, "here", "v")]
    said += [each for i in range(20) for each in others(T0 + 2 + i, "large", "large", "here", "small")]
    said += [Said(T0 + 60, "large", "v"), Said(T0 + 61, "here", "w")]
    first, _ = ranks_of(said, len(said) - 2, {})
    assert (first[0], first[-1]) == ("small", "here")


def test_rooms_of_a_category_that_the_viewer_likes_come_before_larger_ones() -> None:
    known = {"chess 1": Channel("", "Chess"), "chess 2": Channel("", "Chess"), "large": Channel("", "Racing")}
    said = [Said(T0, "chess 1", "v"), Said(T0, "large", "u"), Said(T0 + 1, "chess 2", "u")]
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


def answered(online: Online, viewer: str, at_ms: int) -> dict[str, float]:
    """Scores by streamer of a replica to which the log brings the same rooms and the viewer's profile."""
    clock = ManualClock(at_ms)
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig(max_rooms=64)), MemoryMetrics(), clock, max_rooms=64)
    rooms = [
        MemoryRecord(ROOM_STATES, 0, offset, at_ms, state.room.encode(), encode(state))
        for offset, state in enumerate(online.live(at_ms))
    ]
    profile = online.profile(viewer)
    viewers = [] if profile is None else [MemoryRecord(VIEWER_PROFILES, 0, 0, at_ms, viewer.encode(), profile)]
    tables.apply(Batch(records={Partition(ROOM_STATES, 0): rooms, Partition(VIEWER_PROFILES, 0): viewers}))
    recommender = Recommender(tables, RecommendConfig(impressions=0), MemoryMetrics(), clock)
    answer = recommender.recommend(Query(viewer=viewer, limit=64, explain=True))
    return {item.streamer: sum(item.terms.values()) for item in answer.rooms if item.terms}


def test_rooms_score_as_in_a_replica_that_reads_the_same_events(tmp_path: Path) -> None:
    """Two implementations of one score: a replica's, from its tables, and this one, from examples."""
    lines = evening(3)
    chat, events, online = chat_of_lines(lines), replay_of(tmp_path, lines).events(Timeline()), Online()
    visits = visits_of(chat, tmp_path).test
    score_R, starts = VersionZero(Baseline()).score(visits), visits.sets.starts().tolist()
    ours = {
        (at_us // 1_000, chat.viewers[viewer]): {
            chat.channels[channel]: score
            for channel, score in zip(
                visits.channel_R[start : start + size].tolist(), score_R[start : start + size].tolist(), strict=True
            )
        }
        for at_us, viewer, start, size in zip(
            visits.at_us_V.tolist(), visits.viewer_V.tolist(), starts, visits.sets.size_V.tolist(), strict=True
        )
    }
    differences: list[float] = []
    asked = 0
    for at_ms, group in groupby(events, lambda event: event.at_ms):
        together = list(group)
        online.lapse(at_ms)
        for event in together:
            record = event.record if event.topic == VIEWER_EVENTS else None
            if isinstance(record, ViewerEvent) and record.action == "enter" and (at_ms, record.viewer) in ours:
                asked += 1
                if asked % 4 == 0:
                    mine = ours[at_ms, record.viewer]
                    theirs = answered(online, record.viewer, at_ms)
                    differences += [mine[name] - score for name, score in theirs.items() if name in mine]
        online.play(together)
    assert len(differences) > 200
    assert np.median(np.abs(differences)) < 0.02
    assert np.quantile(np.abs(differences), 0.9) < 0.2
