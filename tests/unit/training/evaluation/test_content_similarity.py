"""How alike rooms are to what a viewer visited, as features; what comes later does not count."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from streaming.room.window_config import WindowConfig
from tests.unit.training.evaluation.test_causality import Silent
from tests.unit.training.recorded.recorded_chat import Said, chat_of, crowd
from training.boosting.ranker import BoostingConfig, BoostingWithMore
from training.evaluation.content_similarity import DECAY, Likeness
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.features.visit_kinds import VisitKind
from training.recorded.chat import Chat
from training.recorded.content_timeline import Content, ContentTimeline, ShuffledContent
from training.recorded.replay_state import Moment
from training.recorded.segments import cut

T0 = 1_800_000_000
AXES = {"cooking": 0, "racing": 1, "chess": 2}


def timeline_of(chat: Chat, texts: list[str]) -> ContentTimeline:
    """A text's vector is the axis of its first word."""
    segments = cut(chat, pa.array(texts), WindowConfig())
    vectors_SD = np.eye(3, dtype=np.float16)[[AXES[text.split()[0]] for text in segments.texts]]
    titles_CD = np.zeros((len(chat.channels), 3), np.float16)
    return ContentTimeline(chat.channels, segments, vectors_SD, titles_CD, config=WindowConfig(), title_weight=0.4)


def moment_at(at_s: float, viewer: int, live_N: NDArray[np.intp], entered: int = 0) -> Moment:
    features_NF = np.zeros((len(live_N), 1), np.float32)
    return Moment(0, round(at_s * 1e6), viewer, live_N, features_NF, entered, False, 0, VisitKind.NEW)


SAID = [
    Said(T0, "kitchen", "k"),
    Said(T0 + 1, "track", "t"),
    Said(T0 + 2, "board", "b"),
    Said(T0 + 3, "stove", "s"),
    Said(T0 + 300, "new", "n"),
]
TEXTS = ["cooking now", "racing now", "chess now", "cooking too", "racing"]
KITCHEN, TRACK, BOARD, STOVE, NEW = range(5)


@pytest.fixture
def likeness() -> Likeness:
    return Likeness(timeline_of(chat_of(SAID, 1), TEXTS))


def column(likeness: Likeness, name: str, at_s: float, viewer: int = 7) -> NDArray[np.float32]:
    columns_NK = likeness.columns(moment_at(T0 + at_s, viewer, np.arange(5)))
    return columns_NK[:, likeness.names.index(name)]


def test_who_visited_nothing_has_no_taste(likeness: Likeness) -> None:
    for name in ("like_now", "like_mean", "like_rank", "last_now", "best_now"):
        assert np.isnan(column(likeness, name, 100)).all()
    assert column(likeness, "drift", 100)[:4] == pytest.approx(1)


def test_rooms_about_the_same_are_alike(likeness: Likeness) -> None:
    likeness.apply(round((T0 + 50) * 1e6), 7, KITCHEN, VisitKind.COLD)
    assert column(likeness, "like_now", 100)[:4] == pytest.approx([1, 0, 0, 1])
    assert column(likeness, "like_mean", 100)[:4] == pytest.approx([1, 0, 0, 1])
    assert column(likeness, "like_rank", 100)[:4] == pytest.approx([0, 2 / 5, 2 / 5, 0])
    assert np.isnan(column(likeness, "like_now", 100)[NEW])  # nothing is known of it yet
    assert np.isnan(column(likeness, "like_now", 100, viewer=8)).all()


def test_the_newest_visit_counts_most(likeness: Likeness) -> None:
    likeness.apply(round((T0 + 50) * 1e6), 7, KITCHEN, VisitKind.COLD)
    likeness.apply(round((T0 + 60) * 1e6), 7, TRACK, VisitKind.NEW)
    likeness.apply(round((T0 + 61) * 1e6), 7, BOARD, VisitKind.NO_VISIT)  # no visit says nothing
    length = np.hypot(1, DECAY)
    assert column(likeness, "like_now", 100)[:4] == pytest.approx([DECAY / length, 1 / length, 0, DECAY / length])
    assert column(likeness, "last_now", 100)[:4] == pytest.approx([0, 1, 0, 0])
    assert column(likeness, "best_now", 100)[:4] == pytest.approx([1, 1, 0, 1])


def test_a_channel_is_what_it_was_about_when_the_viewer_came(likeness: Likeness) -> None:
    likeness.apply(round((T0 + 10) * 1e6), 7, KITCHEN, VisitKind.COLD)  # before its first segment had closed
    assert np.isnan(column(likeness, "like_now", 100)).all()


def test_rooms_of_a_placebo_are_about_something_else() -> None:
    timeline = timeline_of(chat_of(SAID, 1), TEXTS)

    class Turned:
        def at(self, channels_N: NDArray[np.intp], at_us: int) -> Content:
            return timeline.at((channels_N + 1) % 4, at_us)

    placebo = Likeness(timeline, Turned())
    placebo.apply(round((T0 + 50) * 1e6), 7, KITCHEN, VisitKind.COLD)
    assert column(placebo, "like_now", 100)[:4] == pytest.approx([0, 0, 1, 1])


def themed(seed: int, num_messages: int) -> tuple[Chat, list[str]]:
    """Channels change what they are about every ten minutes; viewers go where it is about their subject."""
    rng = np.random.default_rng(seed)
    said, texts, subjects = [], [], list(AXES)
    for i in range(num_messages):
        at_s = T0 + 3.0 * i
        about = np.random.default_rng(int(at_s) // 600).permutation(6)
        viewer = int(rng.integers(0, 60))
        channel = (
            int(rng.choice(np.flatnonzero(about % 3 == viewer % 3))) if rng.random() < 0.5 else int(rng.integers(0, 6))
        )
        said.append(Said(at_s, f"c{channel}", f"v{viewer}"))
        texts.append(f"{subjects[about[channel] % 3]} {i}")
    return chat_of(said, num_messages * 2 // 3), texts


def test_boosting_finds_what_content_says_and_nothing_in_a_placebo() -> None:
    chat, texts = themed(1, 6000)
    timeline, config = timeline_of(chat, texts), BoostingConfig(trees=40, leaves=7, min_rows_per_leaf=20, threads=1)
    real = BoostingWithMore(config, Likeness(timeline), "real")
    placebo = BoostingWithMore(config, Likeness(timeline, ShuffledContent(timeline, 1)), "placebo")
    report = evaluate(chat, [real, placebo], EvaluateConfig(train_visits=2000, against="placebo"), Silent())
    assert report.results["real"].differences["all"]["NDCG@10"].low > 0.03
    names = list(real.importance())
    assert "like_now" in names[:3] or "best_now" in names[:3] or "like_rank" in names[:3]


def test_what_happens_later_changes_no_likeness_before() -> None:
    said = crowd(6, 1500, num_channels=4)
    chat = chat_of(said, 1000)
    texts = [f"{list(AXES)[i % 3]} {i}" for i in range(len(said))]
    cut_us = round(said[1200].at_s * 1e6)
    altered = [
        text if round(one.at_s * 1e6) < cut_us else f"chess {text}" for one, text in zip(said, texts, strict=True)
    ]

    class Kept:
        name = "kept"

        def __init__(self, words: list[str]) -> None:
            self.likeness = Likeness(timeline_of(chat, words))
            self.columns: list[tuple[int, bytes]] = []

        def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
            self.likeness.apply(at_us, viewer, channel, kind)

        def learn(self, past: object) -> None:
            pass

        def score(self, moment: Moment) -> NDArray[np.float64]:
            self.columns.append((moment.at_us, self.likeness.columns(moment).tobytes()))
            return np.zeros(len(moment.live_N))

    before, after = Kept(texts), Kept(altered)
    for kept in (before, after):
        evaluate(chat, [kept], EvaluateConfig(train_visits=100), Silent())
    same = [a == b for a, b in zip(before.columns, after.columns, strict=True)]
    early = [at_us < cut_us for at_us, _ in before.columns]
    assert sum(early) > 20
    assert all(equal for equal, is_early in zip(same, early, strict=True) if is_early)
    assert not all(same)  # otherwise the test could not fail
