"""Whatever happens after a time changes nothing before it: not a feature, a score, a rank or a figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.training.recorded.recorded_chat import Said, Silent, chat_of, crowd, visits_of
from training.boosting.ranker import Boosting, BoostingConfig
from training.evaluation.baselines import Memory, MemoryAndMoves, NewcomerPopularity, Popularity, Ranker
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.evaluation.logged_baseline import VersionZero
from training.evaluation.metrics import gains
from training.model.batches import CandidateSets
from training.recorded.recorded_visits import RecordedVisits
from training.settings import Baseline

SAID = crowd(11, 1200)
NUM_TRAIN = next(i for i in range(800, len(SAID)) if SAID[i - 1].at_s < SAID[i].at_s)
CUT = next(i for i in range(1000, len(SAID)) if SAID[i - 1].at_s < SAID[i].at_s)  # the perturbed begin at a new time
ROWS = {"now_R", "mean_R"}  # rows of tables that hold the test's content too


def shuffled(said: Sequence[Said]) -> list[Said]:
    order = np.random.default_rng(1).permutation(len(said))
    return [Said(at.at_s, said[i].channel, said[i].viewer) for at, i in zip(said, order, strict=True)]


def thinned(said: Sequence[Said]) -> list[Said]:
    return list(said[::3])


def renamed(said: Sequence[Said]) -> list[Said]:
    return [Said(message.at_s, f"other-{message.channel}", f"other-{message.viewer}") for message in said]


def flooded(said: Sequence[Said]) -> list[Said]:
    return [Said(message.at_s, "c0", f"bot{i}") for i, message in enumerate(said) for _ in range(3)]


class Kept:
    """Takes the visits, their scores and rankings of one ranker."""

    def __init__(self, ranker: Ranker, channels: Sequence[str]) -> None:
        self._ranker, self._channels = ranker, channels
        self.at_us: list[int] = []
        self.live: list[list[str]] = []
        self.features: list[NDArray[np.float32]] = []
        self.scores: list[bytes] = []
        self.ranked: list[list[str]] = []
        self.ranks: list[int] = []

    def add(self, visits: RecordedVisits, ranked_R: NDArray[np.intp]) -> None:
        score_R, channel_R = self._ranker.score(visits), visits.channel_R
        starts, sizes = visits.sets.starts().tolist(), visits.sets.size_V.tolist()
        for place, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            rows = slice(start, start + size)
            self.at_us.append(int(visits.at_us_V[place]))
            self.live.append([self._channels[channel] for channel in channel_R[rows]])
            self.features.append(visits.sets.features_RF[rows])
            self.scores.append(score_R[rows].tobytes())
            self.ranked.append([self._channels[channel] for channel in channel_R[ranked_R[rows]]])
            self.ranks.append(ranked_R[rows].tolist().index(visits.entered_R[place]) + 1)


def kept(said: Sequence[Said]) -> dict[str, Kept]:
    chat, popularity = chat_of(said, NUM_TRAIN), Popularity()
    boosting = Boosting(BoostingConfig(trees=5, leaves=7, min_rows_per_leaf=20, threads=1))
    rankers: list[Ranker] = [popularity, NewcomerPopularity(), Memory(popularity), MemoryAndMoves(popularity), boosting]
    rankers.append(VersionZero(Baseline()))
    sinks = {ranker.name: Kept(ranker, chat.channels) for ranker in rankers}
    evaluate(chat, rankers, EvaluateConfig(train_visits=200), Silent(), sinks=sinks)
    return sinks


@pytest.fixture(scope="module")
def original() -> dict[str, Kept]:
    return kept(SAID)


@pytest.mark.parametrize("perturb", [shuffled, thinned, renamed, flooded])
def test_what_happens_after_a_time_changes_nothing_before_it(
    original: dict[str, Kept], perturb: Callable[[Sequence[Said]], list[Said]]
) -> None:
    perturbed = kept([*SAID[:CUT], *perturb(SAID[CUT:])])
    cut_us = round(SAID[CUT].at_s * 1e6)
    for name, before in original.items():
        after = perturbed[name]
        count = sum(at_us < cut_us for at_us in before.at_us)
        assert 50 < count == sum(at_us < cut_us for at_us in after.at_us)
        assert before.live[:count] == after.live[:count]
        assert before.scores[:count] == after.scores[:count]
        assert before.ranked[:count] == after.ranked[:count]
        for before_NF, after_NF in zip(before.features[:count], after.features[:count], strict=True):
            assert before_NF.tobytes() == after_NF.tobytes()
        assert gains(np.array(before.ranks[:count])).tobytes() == gains(np.array(after.ranks[:count])).tobytes()


def test_the_perturbation_is_seen_after_the_time(original: dict[str, Kept]) -> None:
    """Otherwise the test above could not fail."""
    perturbed = kept([*SAID[:CUT], *shuffled(SAID[CUT:])])
    assert original["popularity"].ranked != perturbed["popularity"].ranked


def test_a_message_of_the_very_same_time_is_not_seen() -> None:
    said = [*SAID[:CUT], Said(SAID[CUT].at_s, "c7", "someone"), Said(SAID[CUT].at_s, "c0", "v1"), *SAID[CUT:]]
    at_us = round(SAID[CUT].at_s * 1e6)
    found = []
    for run in (kept(SAID)["popularity"], kept(said)["popularity"]):
        place = run.at_us.index(at_us)
        found.append(
            {name: row_F[:16].tobytes() for name, row_F in zip(run.live[place], run.features[place], strict=True)}
        )
    both = found[0].keys() & found[1].keys()
    assert both
    assert all(found[0][name] == found[1][name] for name in both)


@pytest.mark.parametrize("perturb", [shuffled, thinned, renamed, flooded])
def test_the_test_changes_nothing_of_what_is_learned_from(
    tmp_path: Path, perturb: Callable[[Sequence[Said]], list[Said]]
) -> None:
    """Nor how long visits lasted that were open when the training part ended, and what was done in them."""
    other = [*SAID[:NUM_TRAIN], *perturb(SAID[NUM_TRAIN:])]
    before, after = (
        visits_of(chat_of(said, NUM_TRAIN), tmp_path / name).past for said, name in ((SAID, "one"), (other, "other"))
    )
    assert len(before) == len(after) > 200
    for column in dataclasses.fields(CandidateSets):
        ours, theirs = (getattr(visits.sets, column.name) for visits in (before, after))
        if isinstance(ours, np.ndarray) and column.name not in ROWS:
            assert ours.tobytes() == theirs.tobytes(), column.name
    open_V = before.at_us_V > 1e6 * SAID[NUM_TRAIN].at_s - 30e6
    assert open_V.any()  # otherwise the test could not fail
