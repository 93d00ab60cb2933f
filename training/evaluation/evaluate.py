"""The evaluation: every ranker ranks the live rooms at each visit of a test, causally. Never prints, never writes."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.errors import InputFileError
from streaming.section import Count, CountOrZero, Section
from training.evaluation.baselines import LearnsBeside, NotesMoments, Ranker, TimesRequests
from training.evaluation.report import Report, Seen, Tally, build
from training.features.features import COLUMN
from training.features.visit_kinds import VisitKind
from training.recorded.chat import Chat
from training.recorded.replay_state import Moment, Observer, moments
from training.recorded.visits import kinds


@dataclass(frozen=True, slots=True)
class EvaluateConfig(Section):
    """The settings of an evaluation. seed: of the sample and the resampling. train_visits: most visits to learn from.

    against: the ranker that the others are compared with; ignored where it is not among those evaluated.
    """

    section: ClassVar[str] = "evaluate"

    seed: CountOrZero = 7
    train_visits: Count = 100_000
    against: str = "boosting"


class Progress(Observer, Protocol):
    """An observer of the chat that is also notified of stages."""

    def stage(self, text: str) -> None:
        """Names the stage that begins now."""


class RankingSink(Protocol):
    """A sink for the rankings of visits, in time order."""

    def add(self, moment: Moment, ranked_N: NDArray[np.intp]) -> None:
        """Takes a visit's ranking. ranked_N: all live channels, best first."""


def evaluate(
    chat: Chat,
    rankers: Sequence[Ranker],
    config: EvaluateConfig,
    progress: Progress,
    *,
    sinks: Mapping[str, RankingSink] | None = None,
    cold_C: NDArray[np.bool_] | None = None,
) -> Report:
    """Measures `rankers` on the visits of the test part.

    Rankers that are observers follow the chat; those that note moments get each that is learned from. sinks: by the
    name of the ranker whose rankings they take. cold_C: channels whose past `without_past` has removed, which are
    reported apart. Raises InputFileError: there is nothing to rank or nobody to resample.
    """
    kind_M = kinds(chat)
    _check(chat, kind_M)
    progress.stage("past")
    sample_M = _sample(kind_M[: chat.num_train], config)
    wanted_M = np.r_[sample_M, kind_M[chat.num_train :] != VisitKind.NO_VISIT]
    passing = moments(chat, kind_M, wanted_M, (progress, *[each for each in rankers if isinstance(each, Observer)]))
    past, first = _take_past(passing, chat.num_train, [each for each in rankers if isinstance(each, NotesMoments)])
    _learn(rankers, past, progress)
    progress.stage("test")
    num_visits = int(np.count_nonzero(wanted_M[chat.num_train :]))
    tallies = {ranker.name: Tally(num_visits, len(chat.channels)) for ranker in rankers}
    hash_C = _hashes(chat.channels)
    seen = Seen(chat, num_visits, len(past), cold_C)
    past.clear()  # half a gigabyte, which the test does not need
    timed = {ranker.name: ranker for ranker in rankers if isinstance(ranker, TimesRequests)}
    for index, moment in enumerate(_chain(first, passing)):
        seen.add(index, moment)
        tie_N = _ties(moment, hash_C)
        for ranker in rankers:
            ranked_N = _rank(ranker, moment, tie_N, tallies[ranker.name], index)
            if sinks and ranker.name in sinks:
                sinks[ranker.name].add(moment, ranked_N)
    for ranker in rankers:
        tally = tallies[ranker.name]
        tally.request_s = timed[ranker.name].request_s if ranker.name in timed else tally.spent_s
    progress.stage("confidence intervals")
    against = config.against if config.against in tallies else ""
    return build(chat, kind_M[: chat.num_train], seen, tallies, against=against, seed=config.seed)


class _LearningBeside(threading.Thread):
    """A thread in which rankers learn one after the other while others learn. A daemon: Ctrl-C does not wait for it."""

    def __init__(self, rankers: Sequence[Ranker], past: Sequence[Moment]) -> None:
        super().__init__(name="learning", daemon=True)
        self._rankers, self._past = rankers, past
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            for ranker in self._rankers:
                ranker.learn(self._past)
        except BaseException as err:
            self._error = err

    def wait(self) -> None:
        """Waits until all have learned. Raises what one of them raised."""
        self.join()
        if self._error is not None:
            raise self._error


def _learn(rankers: Sequence[Ranker], past: Sequence[Moment], progress: Progress) -> None:
    """Has rankers learn: those that can learn beside others in a thread per core but one, the rest in this thread."""
    beside = [ranker for ranker in rankers if isinstance(ranker, LearnsBeside) and ranker.learns_beside]
    threads = max(1, len(os.sched_getaffinity(0)) - 1)
    learning = [_LearningBeside(beside[first::threads], past) for first in range(min(threads, len(beside)))]
    for thread in learning:
        thread.start()
    for ranker in rankers:
        if ranker not in beside:
            progress.stage(f"learning {ranker.name} from {len(past):,} visits")
            ranker.learn(past)
    if beside:
        progress.stage(f"learning {', '.join(ranker.name for ranker in beside)} from {len(past):,} visits")
    for thread in learning:
        thread.wait()


def _ties(moment: Moment, hash_C: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order of rooms with equal scores, positions [N]: by messages in five minutes, then by a hash of the name."""
    return np.lexsort((hash_C[moment.live_N], -moment.features_NF[:, COLUMN["messages_300s"]]))


def _rank(ranker: Ranker, moment: Moment, tie_N: NDArray[np.intp], tally: Tally, index: int) -> NDArray[np.intp]:
    started_s = time.perf_counter()
    score_N = ranker.score(moment)
    tally.spent_s += time.perf_counter() - started_s
    order_N = tie_N[np.argsort(-score_N[tie_N], kind="stable")]
    ranked_N = moment.live_N[order_N]
    tally.add(index, int(np.flatnonzero(order_N == moment.entered)[0]) + 1, ranked_N)
    return ranked_N


def _sample(kind_M: NDArray[np.int8], config: EvaluateConfig) -> NDArray[np.bool_]:
    """The visits to learn from, bool [M]: of the training part's later half, when viewers have a past as in a test."""
    visits = np.flatnonzero(kind_M != VisitKind.NO_VISIT)
    later = visits[len(visits) // 2 :]
    rng = np.random.default_rng(config.seed)
    wanted_M = np.zeros(len(kind_M), bool)
    wanted_M[rng.choice(later, min(config.train_visits, len(later)), replace=False)] = True
    return wanted_M


def _take_past(
    passing: Iterator[Moment], num_train: int, noting: Sequence[NotesMoments]
) -> tuple[list[Moment], Moment]:
    past: list[Moment] = []
    for moment in passing:
        if moment.message >= num_train:
            return past, moment
        for ranker in noting:
            ranker.note(moment)
        past.append(moment)
    raise AssertionError("a test without visits was refused before")


def _chain(first: Moment, rest: Iterator[Moment]) -> Iterator[Moment]:
    yield first
    yield from rest


def _hashes(channels: Sequence[str]) -> NDArray[np.int64]:
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in channels]
    return np.frombuffer(b"".join(digests), np.int64)


def _check(chat: Chat, kind_M: NDArray[np.int8]) -> None:
    if len(chat.channels) < 2:
        raise InputFileError(f"only one channel, {chat.channels[0]}: there is nothing to rank; give chat of several")
    test = slice(chat.num_train, None)
    viewers = np.unique(chat.viewer_M[test][kind_M[test] != VisitKind.NO_VISIT])
    if not len(viewers):
        raise InputFileError(
            "--test: no visits: every message there goes on with a visit that began in the training part; "
            "a visit is a message after being elsewhere, or silent for half an hour"
        )
    if len(viewers) < 2:
        raise InputFileError("--test: visits of one viewer only: intervals by viewer need at least two; give more chat")
