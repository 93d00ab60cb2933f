"""The seam between evaluation and rankers, and rankers that only count. Never aggregates state, never measures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from training.features.features import COLUMN
from training.features.visit_kinds import VisitKind
from training.recorded.replay_state import Moment


class Ranker(Protocol):
    """A ranker of the rooms that are live at a visit.

    A ranker with state of its own is also an `Observer` (training/recorded/replay_state.py). It then gets every message
    in time order, and none before the moments of its time were scored. One that learns from more than a moment has is
    also `NotesMoments`.
    """

    @property
    def name(self) -> str:
        """The ranker's name in the tables."""

    def learn(self, past: Sequence[Moment]) -> None:
        """Learns. Called once, with moments of the training part in time order, before anything is scored."""

    def score(self, moment: Moment) -> NDArray[np.float64]:
        """Scores of `moment.live_N`, [N]; higher is better, no NaN. Must not read `entered`, `surprise` or `kind`."""


@runtime_checkable
class NotesMoments(Protocol):
    """A ranker that notes, of moments to learn from, values that are known only at that time."""

    def note(self, moment: Moment) -> None:
        """Notes a moment. Called for each that `learn` will get, in order, before any later message is applied."""


@runtime_checkable
class LearnsBeside(Protocol):
    """A ranker that may learn in a thread of its own, while others learn."""

    @property
    def learns_beside(self) -> bool:
        """Whether it needs nothing but the moments: no other ranker, no random state of the process."""


@runtime_checkable
class TimesRequests(Protocol):
    """A ranker that times the part of its scoring that a replica does in a request, and not before it."""

    @property
    def request_s(self) -> float:
        """Seconds of that part over all moments scored."""


class _Counting:
    """A ranker that learns nothing and needs nothing but the features."""

    def learn(self, past: Sequence[Moment]) -> None:
        """Does nothing: there is nothing to learn."""


class Popularity(_Counting):
    """A ranker by messages of the last seconds. How many seconds is chosen on the training part."""

    name = "popularity"
    _choices = ("messages_10s", "messages_60s", "messages_300s", "messages_600s")

    def __init__(self, column: str = "messages_60s") -> None:
        self.column = column
        self._learned = False

    def learn(self, past: Sequence[Moment]) -> None:
        """Chooses the seconds. Rankers that build on popularity call it as well: only the first call counts."""

        def gain(column: str) -> float:
            return sum(_gain(moment.features_NF[:, COLUMN[column]], moment.entered) for moment in past)

        if not self._learned:
            self.column = max(self._choices, key=gain)
            self._learned = True

    def score(self, moment: Moment) -> NDArray[np.float64]:
        return moment.features_NF[:, COLUMN[self.column]].astype(np.float64)


class NewcomerPopularity(_Counting):
    """A ranker by newcomers' visits of the last minute; ties by all entries of that minute."""

    name = "newcomers"

    def score(self, moment: Moment) -> NDArray[np.float64]:
        newcomers_N = moment.features_NF[:, COLUMN["newcomers_60s"]].astype(np.float64)
        return newcomers_N + 1e-3 * moment.features_NF[:, COLUMN["entries_share"]]


class Memory:
    """A ranker of the viewer's own channels by frequency and recency; the others follow by popularity.

    The room that the viewer is in comes last: a visit leads elsewhere, or begins after half an hour of silence.
    """

    name = "memory"

    def __init__(self, popularity: Popularity) -> None:
        self._popularity = popularity

    def learn(self, past: Sequence[Moment]) -> None:
        self._popularity.learn(past)

    def score(self, moment: Moment) -> NDArray[np.float64]:
        return _remembered(moment, _share(self._popularity.score(moment)))


class MemoryAndMoves(Memory):
    """The memory ranker, with the other channels by transitions from the viewer's channel, smoothed by popularity.

    Two things are chosen on the training part, by visits to channels new to the viewer: which transitions count (all,
    those to a channel new to the viewer who moved, those of the last minutes), and the weight of popularity.
    """

    name = "memory + transitions"
    _columns = ("moves_share", "first_moves_share", "recent_moves")
    _priors = (0.1, 0.3, 1.0, 3.0)  # popularity's weight; that of transitions is 1

    def __init__(self, popularity: Popularity, column: str = "first_moves_share", prior: float = 1.0) -> None:
        super().__init__(popularity)
        self.column, self.prior = column, prior

    def learn(self, past: Sequence[Moment]) -> None:
        super().learn(past)
        new = [moment for moment in past if moment.kind == VisitKind.NEW and not moment.surprise]

        def gain(choice: tuple[str, float]) -> float:
            self.column, self.prior = choice
            return sum(_gain(self.score(moment), moment.entered) for moment in new)

        if new:
            self.column, self.prior = max(product(self._columns, self._priors), key=gain)

    def score(self, moment: Moment) -> NDArray[np.float64]:
        moves_N = _share(moment.features_NF[:, COLUMN[self.column]].astype(np.float64))
        popular_N = _share(self._popularity.score(moment))
        return _remembered(moment, (moves_N + self.prior * popular_N) / (1 + self.prior))


def _remembered(moment: Moment, others_N: NDArray[np.float64]) -> NDArray[np.float64]:
    visits_N = moment.features_NF[:, COLUMN["own_visits"]]
    recency_N = moment.features_NF[:, COLUMN["own_recency"]]
    own_N = 1.0 + moment.features_NF[:, COLUMN["own_share"]] + 1.0 / (2.0 + recency_N)
    score_N = np.where(visits_N > 0, own_N + 0.1 * others_N, others_N)
    score_N[moment.features_NF[:, COLUMN["own_here"]] == 2] = -1.0
    return score_N


def _share(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    return values_N / max(float(values_N.sum()), 1.0)


def _gain(values_N: NDArray[np.floating], entered: int) -> float:
    """NDCG of the room entered, in a list of any length."""
    return 1.0 / float(np.log2(2 + np.count_nonzero(values_N > values_N[entered])))
