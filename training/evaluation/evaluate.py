"""The evaluation: every ranker ranks the live rooms at each visit of a test, causally. Never prints, never writes."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.errors import InputFileError
from streaming.section import Count, CountOrZero, Section
from training.evaluation.baselines import LearnsBeside, Ranker, TimesRequests
from training.evaluation.metrics import PLACES
from training.evaluation.recorded_examples import Beside, Progress, pass_over
from training.evaluation.report import RankTally, Report, Seen, build
from training.features.features import COLUMN
from training.features.visit_kinds import VisitKind
from training.recorded.chat import Chat
from training.recorded.recorded_visits import RecordedVisits, VisitReader
from training.recorded.visits import kinds

SCORED = 1_024  # visits at a time


@dataclass(frozen=True, slots=True)
class EvaluateConfig(Section):
    """The settings of an evaluation. seed: of the sample and the resampling. train_visits: most visits to learn from.

    against: the ranker that the others are compared with; ignored where it is not among those evaluated.
    """

    section: ClassVar[str] = "evaluate"

    seed: CountOrZero = 7
    train_visits: Count = 100_000
    against: str = "boosting"


class RankingSink(Protocol):
    """A sink for the rankings of visits, in time order."""

    def add(self, visits: RecordedVisits, ranked_R: NDArray[np.intp]) -> None:
        """Takes the rankings of visits. ranked_R: rows of the candidates, visit by visit, best first."""


def evaluate(
    chat: Chat,
    rankers: Sequence[Ranker],
    config: EvaluateConfig,
    progress: Progress,
    *,
    beside: Beside | None = None,
    sinks: Mapping[str, RankingSink] | None = None,
    cold_C: NDArray[np.bool_] | None = None,
) -> Report:
    """Measures `rankers` on the visits of the test part.

    sinks: by the name of the ranker whose rankings they take. cold_C: channels whose past is left out of the chat,
    which are reported apart. Raises InputFileError: there is nothing to rank or nobody to resample; and what making
    examples, encoding and learning raise.
    """
    kind_M = kinds(chat)
    _check(chat, kind_M)
    wanted_M = wanted(chat, kind_M, config)
    with TemporaryDirectory(prefix="tidecast-evaluate-") as folder:
        passed = pass_over(
            chat, kind_M, wanted_M, beside or Beside(), folder=Path(folder) / "examples", progress=progress
        )
        reader = passed.encoded(progress)
        learned = _learn(rankers, reader.past(), progress)
        seen = Seen(chat, reader.num_rest, learned, cold_C)
        tallies = {ranker.name: RankTally(reader.num_rest, len(chat.channels)) for ranker in rankers}
        progress.stage("test", "visits", reader.num_rest)
        _rank_all(reader, rankers, tallies, seen=seen, sinks=sinks or {}, progress=progress)
    progress.stage("confidence intervals")
    against = config.against if config.against in tallies else ""
    return build(chat, kind_M[: chat.num_train], seen, tallies, against=against, seed=config.seed)


def _rank_all(
    reader: VisitReader,
    rankers: Sequence[Ranker],
    tallies: Mapping[str, RankTally],
    *,
    seen: Seen,
    sinks: Mapping[str, RankingSink],
    progress: Progress,
) -> None:
    """Has all rankers rank all visits of the test."""
    hash_C, done = _hashes(reader.chat.channels), 0
    for shard in reader.rest():
        for first in range(0, len(shard), SCORED):
            visits = shard.between(first, min(first + SCORED, len(shard)))
            seen.add(done, visits)
            for ranker in rankers:
                ranked_R = _rank(ranker, visits, hash_C, tallies[ranker.name], done)
                if ranker.name in sinks:
                    sinks[ranker.name].add(visits, ranked_R)
            done += len(visits)
            progress.done(done)
    for ranker in rankers:
        tally = tallies[ranker.name]
        tally.request_s = ranker.request_s if isinstance(ranker, TimesRequests) else tally.spent_s


class _LearningBeside(threading.Thread):
    """A thread in which rankers learn one after the other while others learn. A daemon: Ctrl-C does not wait for it."""

    def __init__(self, rankers: Sequence[Ranker], past: RecordedVisits) -> None:
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


def _learn(rankers: Sequence[Ranker], past: RecordedVisits, progress: Progress) -> int:
    """Has rankers learn: those that can learn beside others in a thread per core but one, the rest in this thread.

    Returns the number of visits that they learned from.
    """
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
    return len(past)


def _rank(
    ranker: Ranker, visits: RecordedVisits, hash_C: NDArray[np.int64], tally: RankTally, first: int
) -> NDArray[np.intp]:
    """Ranks the candidates of visits; returns their rows, visit by visit, best first.

    Equal scores are ordered by messages in five minutes, then by a hash of the name.
    """
    started_s = time.perf_counter()
    score_R = ranker.score(visits)
    tally.spent_s += time.perf_counter() - started_s
    busy_R, seg_R = visits.sets.features_RF[:, COLUMN["messages_300s"]], visits.visit_R
    ranked_R = np.lexsort((hash_C[visits.channel_R], -busy_R, -score_R, seg_R))
    place_R = np.empty(len(ranked_R), np.int64)
    place_R[ranked_R] = np.arange(len(ranked_R)) - visits.sets.starts()[seg_R]
    tally.add(first, place_R[visits.entered_R] + 1, visits.channel_R[place_R < PLACES])
    return ranked_R


def wanted(chat: Chat, kind_M: NDArray[np.int8], config: EvaluateConfig) -> NDArray[np.bool_]:
    """The visits that are learned from, and all of the test, bool [M]."""
    return np.concatenate([_sample(kind_M[: chat.num_train], config), kind_M[chat.num_train :] != VisitKind.NO_VISIT])


def _sample(kind_M: NDArray[np.int8], config: EvaluateConfig) -> NDArray[np.bool_]:
    """The visits to learn from, bool [M]: of the training part's later half, when viewers have a past as in a test."""
    visits = np.flatnonzero(kind_M != VisitKind.NO_VISIT)
    later = visits[len(visits) // 2 :]
    rng = np.random.default_rng(config.seed)
    wanted_M = np.zeros(len(kind_M), bool)
    wanted_M[rng.choice(later, min(config.train_visits, len(later)), replace=False)] = True
    return wanted_M


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
