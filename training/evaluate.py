"""Ranks all rooms live at each visit of a test with each ranker, causally, and measures. Never prints, never writes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streaming.errors import ConfigError, InputFileError
from training.chat import Chat
from training.features import COLUMN
from training.quality import Group, measure
from training.rankers import Ranker
from training.spread import PLACES, Spread, small, spread
from training.visits import Kind, kinds
from training.world import Moment, Observer, moments

# How many visits a channel had before the one measured: a streamer without a past is the harder case.
HISTORIES = ((0, 100), (100, 1_000), (1_000, 10_000), (10_000, 2**62))


@dataclass(frozen=True, slots=True)
class EvaluateConfig:
    """seed: of the sample and the resampling. train_visits: how many, at most, rankers learn from."""

    seed: int = 7
    train_visits: int = 100_000

    def __post_init__(self) -> None:
        if self.train_visits < 1 or self.seed < 0:
            raise ConfigError(f"evaluate: train_visits must be above 0 and seed not below, not {self}")


class Progress(Observer, Protocol):
    """Follows the chat and is told what comes next."""

    def stage(self, text: str) -> None:
        """What begins now."""


class RankingSink(Protocol):
    """Takes each visit's ranking in time order."""

    def add(self, moment: Moment, ranked_N: NDArray[np.intp]) -> None:
        """ranked_N: all channels live, best first."""


@dataclass(frozen=True, slots=True)
class Result:
    """One ranker's figures. histories: by the visits that the channel entered had had before."""

    groups: Mapping[str, Group]
    histories: Mapping[str, Group]
    spread: Spread
    score_us: float  # mean time of scoring one visit


@dataclass(frozen=True, slots=True)
class Report:
    """surprises: visits whose room nobody could know to be live; mean_live: rooms ranked a visit."""

    train_messages: int
    train_visits: int
    learned_visits: int
    test_messages: int
    test_visits: int
    test_viewers: int
    surprises: int
    mean_live: float
    results: Mapping[str, Result]


class _Tally:
    """What one ranker's rankings add up to."""

    def __init__(self, num_visits: int, num_channels: int) -> None:
        self.rank_V = np.zeros(num_visits, np.int32)
        self.places_C = np.zeros(num_channels, np.int64)
        self.spent_s = 0.0


def evaluate(
    chat: Chat,
    rankers: Sequence[Ranker],
    config: EvaluateConfig,
    progress: Progress,
    *,
    observers: Sequence[Observer] = (),
    sinks: Mapping[str, RankingSink] | None = None,
) -> Report:
    """Measures `rankers` on the visits of the test part.

    observers: rankers that follow the chat. sinks: by the name of the ranker whose rankings they take. Raises
    InputFileError: there is nothing to rank or nobody to resample.
    """
    kind_M = kinds(chat)
    _check(chat, kind_M)
    progress.stage("past")
    sample_M = _sample(kind_M[: chat.num_train], config)
    wanted_M = np.r_[sample_M, kind_M[chat.num_train :] != Kind.NO_VISIT]
    passing = moments(chat, kind_M, wanted_M, (progress, *observers))
    past, first = _take_past(passing, chat.num_train)
    for ranker in rankers:
        progress.stage(f"learning {ranker.name} from {len(past):,} visits")
        ranker.learn(past)
    progress.stage("test")
    num_visits = int(np.count_nonzero(wanted_M[chat.num_train :]))
    tallies = {ranker.name: _Tally(num_visits, len(chat.channels)) for ranker in rankers}
    hash_C = _hashes(chat.channels)
    seen = _Seen(len(past), num_visits, len(chat.channels))
    past.clear()  # half a gigabyte, which the test does not need
    for index, moment in enumerate(_chain(first, passing)):
        seen.add(index, moment)
        for ranker in rankers:
            ranked_N = _rank(ranker, moment, hash_C, tallies[ranker.name], index)
            if sinks and ranker.name in sinks:
                sinks[ranker.name].add(moment, ranked_N)
    progress.stage("confidence intervals")
    return _report(chat, kind_M[: chat.num_train], seen, tallies, config)


def ranking(score_N: NDArray[np.float64], moment: Moment, hash_C: NDArray[np.int64]) -> NDArray[np.intp]:
    """[N] positions, best first. Equal scores: by messages in five minutes, then by a hash of the channel's name."""
    popularity_N = moment.features_NF[:, COLUMN["messages_300s"]]
    return np.lexsort((hash_C[moment.live_N], -popularity_N, -score_N))


def _rank(ranker: Ranker, moment: Moment, hash_C: NDArray[np.int64], tally: _Tally, index: int) -> NDArray[np.intp]:
    started_s = time.perf_counter()
    score_N = ranker.score(moment)
    tally.spent_s += time.perf_counter() - started_s
    order_N = ranking(score_N, moment, hash_C)
    tally.rank_V[index] = np.flatnonzero(order_N == moment.entered)[0] + 1
    ranked_N = moment.live_N[order_N]
    tally.places_C[ranked_N[:PLACES]] += 1
    return ranked_N


class _Seen:
    """What the visits were, for the groups that are measured."""

    def __init__(self, learned: int, num_visits: int, num_channels: int) -> None:
        self.learned = learned
        self.kind_V = np.zeros(num_visits, np.int8)
        self.viewer_V = np.zeros(num_visits, np.int32)
        self.history_V = np.zeros(num_visits, np.int64)
        self.surprise_V = np.zeros(num_visits, bool)
        self.live_V = np.zeros(num_visits, np.int32)
        self.live_C = np.zeros(num_channels, bool)

    def add(self, index: int, moment: Moment) -> None:
        self.kind_V[index], self.viewer_V[index] = moment.kind, moment.viewer
        self.history_V[index], self.surprise_V[index] = moment.channel_visits, moment.surprise
        self.live_V[index] = len(moment.live_N)
        self.live_C[moment.live_N] = True

    def groups(self) -> dict[str, NDArray[np.bool_]]:
        named = {"repeat": Kind.REPEAT, "new": Kind.NEW, "cold": Kind.COLD}
        return {"all": self.kind_V >= 0, **{name: self.kind_V == kind for name, kind in named.items()}}

    def histories(self) -> dict[str, NDArray[np.bool_]]:
        return {
            f"{low:,} to {high - 1:,}" if high < 2**62 else f"{low:,} or more": (self.history_V >= low)
            & (self.history_V < high)
            for low, high in HISTORIES
        }


def _report(
    chat: Chat,
    train_kind_M: NDArray[np.int8],
    seen: _Seen,
    tallies: Mapping[str, _Tally],
    config: EvaluateConfig,
) -> Report:
    train_visit_M = train_kind_M != Kind.NO_VISIT
    visits_C = np.bincount(chat.channel_M[: chat.num_train][train_visit_M], minlength=len(chat.channels))
    small_C = small(visits_C, seen.live_C)
    groups, histories = seen.groups(), seen.histories()
    results = {}
    rank_RV = np.stack([tally.rank_V for tally in tallies.values()])
    measures = measure(rank_RV, seen.viewer_V, {**groups, **histories}, config.seed)
    for (name, tally), measured in zip(tallies.items(), measures, strict=True):
        results[name] = Result(
            groups={group: measured[group] for group in groups},
            histories={group: measured[group] for group in histories},
            spread=spread(tally.places_C, seen.live_C, small_C),
            score_us=1e6 * tally.spent_s / len(tally.rank_V),
        )
    return Report(
        train_messages=chat.num_train,
        train_visits=int(train_visit_M.sum()),
        learned_visits=seen.learned,
        test_messages=len(chat.at_us_M) - chat.num_train,
        test_visits=len(seen.kind_V),
        test_viewers=len(np.unique(seen.viewer_V)),
        surprises=int(seen.surprise_V.sum()),
        mean_live=float(seen.live_V.mean()),
        results=results,
    )


def _sample(kind_M: NDArray[np.int8], config: EvaluateConfig) -> NDArray[np.bool_]:
    """[M] which visits are learned from: of the training part's later half, when viewers have a past as in a test."""
    visits = np.flatnonzero(kind_M != Kind.NO_VISIT)
    later = visits[len(visits) // 2 :]
    rng = np.random.default_rng(config.seed)
    wanted_M = np.zeros(len(kind_M), bool)
    wanted_M[rng.choice(later, min(config.train_visits, len(later)), replace=False)] = True
    return wanted_M


def _take_past(passing: Iterator[Moment], num_train: int) -> tuple[list[Moment], Moment]:
    past: list[Moment] = []
    for moment in passing:
        if moment.message >= num_train:
            return past, moment
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
    viewers = np.unique(chat.viewer_M[test][kind_M[test] != Kind.NO_VISIT])
    if not len(viewers):
        raise InputFileError(
            "--test: no visits: every message there goes on with a visit that began in the training part; "
            "a visit is a message after being elsewhere, or silent for half an hour"
        )
    if len(viewers) < 2:
        raise InputFileError("--test: visits of one viewer only: intervals by viewer need at least two; give more chat")
