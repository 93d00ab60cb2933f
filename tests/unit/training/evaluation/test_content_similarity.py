"""How alike rooms are to what a viewer visited, as features; what comes later does not count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from tests.unit.training.recorded.recorded_chat import Said, Silent, chat_of, crowd, visits_of
from training.boosting.ranker import BoostingConfig, BoostingWithMore
from training.evaluation.content_similarity import DECAY, Likeness
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.evaluation.recorded_examples import Beside, ContentSource
from training.recorded.chat import Chat
from training.recorded.recorded_visits import RecordedVisits

T0 = 1_800_000_000
AXES = {"cooking": 0, "racing": 1, "chess": 2}


@dataclass
class ByFirstWord:
    """An encoder: a text's vector is the axis of its first word."""

    version: str = "first/1"
    dimension: int = 3

    def encode(self, texts: Sequence[str]) -> NDArray[np.float16]:
        return np.eye(3, dtype=np.float16)[[AXES[text.split()[0]] for text in texts]]


def about(texts: Sequence[str], folder: Path) -> Beside:
    return Beside(content=ContentSource(pa.array(list(texts)), ByFirstWord(), folder / "vectors"))


SAID = [
    Said(T0, "kitchen", "k"),
    Said(T0 + 1, "track", "t"),
    Said(T0 + 2, "board", "b"),
    Said(T0 + 3, "stove", "s"),
    Said(T0 + 40, "kitchen", "k"),
    Said(T0 + 41, "track", "t"),
    Said(T0 + 42, "board", "b"),
    Said(T0 + 43, "stove", "s"),
    Said(T0 + 49, "new", "n"),
]
TEXTS = ["cooking now", "racing now", "chess now", "cooking too", "cooking", "racing", "chess", "cooking", "racing"]
KITCHEN, TRACK, BOARD, STOVE, NEW = range(5)


def column(
    folder: Path, name: str, *visits: tuple[float, str], seed: int | None = None, viewer: str = "v"
) -> NDArray[np.float32]:
    """By channel, at second 60, of a viewer who was in rooms at these seconds after T0."""
    later = [Said(T0 + at_s, channel, "v") for at_s, channel in visits] + [Said(T0 + 60, "kitchen", viewer)]
    texts = {"kitchen": "cooking", "track": "racing", "board": "chess", "stove": "cooking"}
    said = sorted([*zip(SAID, TEXTS, strict=True), *((one, texts[one.channel]) for one in later)])
    chat = chat_of([*(one for one, _ in said)], len(said) - 1)
    order = [chat.channels.index(name) for name in ("kitchen", "track", "board", "stove", "new")]
    test = visits_of(chat, folder, about([text for _, text in said], folder)).test
    likeness = Likeness(seed)
    by_channel = dict(zip(test.channel_R.tolist(), likeness.columns(test), strict=True))
    return np.array([by_channel[channel][likeness.names.index(name)] for channel in order])


def test_who_visited_nothing_has_no_taste(tmp_path: Path) -> None:
    for name in ("like_now", "like_mean", "like_rank", "last_now", "best_now"):
        assert np.isnan(column(tmp_path, name)).all()
    assert column(tmp_path, "drift")[:4] == pytest.approx(1)


def test_rooms_about_the_same_are_alike(tmp_path: Path) -> None:
    came = (50, "stove")
    assert column(tmp_path, "like_now", came)[:4] == pytest.approx([1, 0, 0, 1])
    assert column(tmp_path, "like_mean", came)[:4] == pytest.approx([1, 0, 0, 1])
    assert column(tmp_path, "like_rank", came)[:4] == pytest.approx([0, 2 / 5, 2 / 5, 0])
    assert np.isnan(column(tmp_path, "like_now", came)[NEW])  # nothing is known of it yet
    assert np.isnan(column(tmp_path, "like_now", came, viewer="w")).all()


def test_the_newest_visit_counts_most(tmp_path: Path) -> None:
    visits = ((50, "stove"), (51, "track"), (52, "track"))  # the last is no visit, and says nothing
    length = np.hypot(1, DECAY)
    like = [DECAY / length, 1 / length, 0, DECAY / length]
    assert column(tmp_path, "like_now", *visits)[:4] == pytest.approx(like)
    assert column(tmp_path, "last_now", *visits)[:4] == pytest.approx([0, 1, 0, 0])
    assert column(tmp_path, "best_now", *visits)[:4] == pytest.approx([1, 1, 0, 1])


def test_a_channel_is_what_it_was_about_when_the_viewer_came(tmp_path: Path) -> None:
    assert np.isnan(column(tmp_path, "like_now", (10, "stove"))).all()  # before its first segment had closed


def test_rooms_of_a_placebo_have_the_content_of_one_another(tmp_path: Path) -> None:
    own, dealt = (column(tmp_path, "like_now", (50, "stove"), seed=seed) for seed in (None, 3))
    assert np.array_equal(np.sort(own), np.sort(dealt), equal_nan=True)
    assert not np.array_equal(own, dealt, equal_nan=True)
    assert np.array_equal(dealt, column(tmp_path, "like_now", (50, "stove"), seed=3), equal_nan=True)


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


def test_boosting_finds_what_content_says_and_nothing_in_a_placebo(tmp_path: Path) -> None:
    chat, texts = themed(1, 6000)
    config = BoostingConfig(trees=40, leaves=7, min_rows_per_leaf=20, threads=1)
    real, placebo = BoostingWithMore(config, Likeness(), "real"), BoostingWithMore(config, Likeness(1), "placebo")
    measured = EvaluateConfig(train_visits=2000, against="placebo")
    report = evaluate(chat, [real, placebo], measured, Silent(), beside=about(texts, tmp_path))
    assert report.results["real"].differences["all"]["NDCG@10"].low > 0.03
    names = list(real.importance())
    assert "like_now" in names[:3] or "best_now" in names[:3] or "like_rank" in names[:3]


def test_what_is_said_later_changes_no_likeness_before(tmp_path: Path) -> None:
    said = crowd(6, 1500, num_channels=4)
    chat = chat_of(said, 1000)
    texts = [f"{list(AXES)[i % 3]} {i}" for i in range(len(said))]
    cut_us = round(said[1200].at_s * 1e6)
    altered = [
        text if round(one.at_s * 1e6) < cut_us else f"chess {text}" for one, text in zip(said, texts, strict=True)
    ]

    def columns(words: Sequence[str]) -> tuple[RecordedVisits, NDArray[np.float32]]:
        test = visits_of(chat, tmp_path, about(words, tmp_path)).test
        return test, Likeness().columns(test)

    (test, before_RK), (_, after_RK) = columns(texts), columns(altered)
    early = int(np.flatnonzero(np.repeat(test.at_us_V, test.sets.size_V) < cut_us)[-1]) + 1
    assert early > 60
    assert np.isfinite(before_RK[:early]).any(axis=0).all()
    assert before_RK[:early].tobytes() == after_RK[:early].tobytes()
    assert before_RK.tobytes() != after_RK.tobytes()  # otherwise the test could not fail
