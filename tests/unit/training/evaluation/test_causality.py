"""Whatever happens after a time changes nothing before it: not a feature, a score, a rank or a figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.training.recorded.recorded_chat import Said, chat_of, crowd
from training.boosting.ranker import Boosting, BoostingConfig
from training.evaluation.baselines import Memory, MemoryAndMoves, NewcomerPopularity, Popularity, Ranker
from training.evaluation.evaluate import EvaluateConfig, evaluate
from training.evaluation.metrics import gains
from training.recorded.replay_state import Moment

SAID = crowd(11, 1200)
NUM_TRAIN = next(i for i in range(800, len(SAID)) if SAID[i - 1].at_s < SAID[i].at_s)
CUT = next(i for i in range(1000, len(SAID)) if SAID[i - 1].at_s < SAID[i].at_s)  # the perturbed begin at a new time


def shuffled(said: Sequence[Said]) -> list[Said]:
    order = np.random.default_rng(1).permutation(len(said))
    return [Said(at.at_s, said[i].channel, said[i].viewer) for at, i in zip(said, order, strict=True)]


def thinned(said: Sequence[Said]) -> list[Said]:
    return list(said[::3])


def renamed(said: Sequence[Said]) -> list[Said]:
    return [Said(message.at_s, f"other-{message.channel}", f"other-{message.viewer}") for message in said]


def flooded(said: Sequence[Said]) -> list[Said]:
    return [Said(message.at_s, "c0", f"bot{i}") for i, message in enumerate(said) for _ in range(3)]


class Silent:
    """A progress that shows nothing."""

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        pass

    def stage(self, text: str) -> None:
        pass


class Kept:
    """Takes the moments, their scores and rankings of one ranker."""

    def __init__(self, ranker: Ranker, chat_channels: Sequence[str]) -> None:
        self._ranker, self._channels = ranker, chat_channels
        self.moments: list[Moment] = []
        self.scores: list[NDArray[np.float64]] = []
        self.ranked: list[list[str]] = []
        self.ranks: list[int] = []

    def add(self, moment: Moment, ranked_N: NDArray[np.intp]) -> None:
        self.moments.append(moment)
        self.scores.append(self._ranker.score(moment))
        self.ranked.append([self._channels[channel] for channel in ranked_N])
        self.ranks.append(ranked_N.tolist().index(moment.live_N[moment.entered]) + 1)


def kept(said: Sequence[Said]) -> dict[str, Kept]:
    chat, popularity = chat_of(said, NUM_TRAIN), Popularity()
    boosting = Boosting(BoostingConfig(trees=5, leaves=7, min_rows_per_leaf=20, threads=1))
    rankers = [popularity, NewcomerPopularity(), Memory(popularity), MemoryAndMoves(popularity), boosting]
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
        count = sum(moment.at_us < cut_us for moment in before.moments)
        assert 50 < count == sum(moment.at_us < cut_us for moment in after.moments)
        for i in range(count):
            assert np.array_equal(before.moments[i].live_N, after.moments[i].live_N)
            assert before.moments[i].features_NF.tobytes() == after.moments[i].features_NF.tobytes()
            assert before.scores[i].tobytes() == after.scores[i].tobytes()
        assert before.ranked[:count] == after.ranked[:count]
        assert gains(np.array(before.ranks[:count])).tobytes() == gains(np.array(after.ranks[:count])).tobytes()


def test_the_perturbation_is_seen_after_the_time(original: dict[str, Kept]) -> None:
    """Otherwise the test above could not fail."""
    perturbed = kept([*SAID[:CUT], *shuffled(SAID[CUT:])])
    assert original["popularity"].ranked != perturbed["popularity"].ranked


def test_a_message_of_the_very_same_time_is_not_seen() -> None:
    said = [*SAID[:CUT], Said(SAID[CUT].at_s, "c7", "someone"), Said(SAID[CUT].at_s, "c0", "v1"), *SAID[CUT:]]
    at_us = round(SAID[CUT].at_s * 1e6)
    before, after = (next(m for m in run["popularity"].moments if m.at_us == at_us) for run in (kept(SAID), kept(said)))
    both = np.intersect1d(before.live_N, after.live_N)
    rows = [moment.features_NF[np.isin(moment.live_N, both)][:, :16] for moment in (before, after)]
    assert np.array_equal(*rows)
