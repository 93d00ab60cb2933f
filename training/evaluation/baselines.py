"""The seam between evaluation and rankers, and rankers that only count. Never aggregates state, never measures."""

from __future__ import annotations

from itertools import product
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from training.features.features import COLUMN
from training.features.visit_kinds import VisitKind
from training.recorded.recorded_visits import RecordedVisits

Doubles = NDArray[np.float64]


class Ranker(Protocol):
    """A ranker of the rooms that are live at visits."""

    @property
    def name(self) -> str:
        """The ranker's name in the tables."""

    def learn(self, past: RecordedVisits) -> None:
        """Learns. Called once, with visits of the training part in time order, before anything is scored."""

    def score(self, visits: RecordedVisits) -> Doubles:
        """Scores of all candidates, [R]; higher is better, no NaN. Must not read who was entered, or of what kind."""


@runtime_checkable
class LearnsBeside(Protocol):
    """A ranker that may learn in a thread of its own, while others learn."""

    @property
    def learns_beside(self) -> bool:
        """Whether it needs nothing but the visits: no other ranker, no random state of the process."""


@runtime_checkable
class TimesRequests(Protocol):
    """A ranker that times the part of its scoring that a replica does in a request, and not before it."""

    @property
    def request_s(self) -> float:
        """Seconds of that part over all visits scored."""


class _Counting:
    """A ranker that learns nothing and needs nothing but the features."""

    def learn(self, past: RecordedVisits) -> None:
        """Does nothing: there is nothing to learn."""


class Popularity(_Counting):
    """A ranker by messages of the last seconds. How many seconds is chosen on the training part."""

    name = "popularity"
    _choices = ("messages_10s", "messages_60s", "messages_300s", "messages_600s")

    def __init__(self, column: str = "messages_60s") -> None:
        self.column = column
        self._learned = False

    def learn(self, past: RecordedVisits) -> None:
        """Chooses the seconds. Rankers that build on popularity call it as well: only the first call counts."""
        if not self._learned:
            self.column = max(self._choices, key=lambda column: _gain(feature(past, column), past))
            self._learned = True

    def score(self, visits: RecordedVisits) -> Doubles:
        return feature(visits, self.column)


class NewcomerPopularity(_Counting):
    """A ranker by newcomers' visits of the last minute; ties by all entries of that minute."""

    name = "newcomers"

    def score(self, visits: RecordedVisits) -> Doubles:
        score_R: Doubles = feature(visits, "newcomers_60s") + 1e-3 * feature(visits, "entries_share")
        return score_R


class Memory:
    """A ranker of the viewer's own channels by frequency and recency; the others follow by popularity.

    The room that the viewer is in comes last: a visit leads elsewhere, or begins after half an hour of silence.
    """

    name = "memory"

    def __init__(self, popularity: Popularity) -> None:
        self._popularity = popularity

    def learn(self, past: RecordedVisits) -> None:
        self._popularity.learn(past)

    def score(self, visits: RecordedVisits) -> Doubles:
        return _remembered(visits, _share(self._popularity.score(visits), visits))


class MemoryAndMoves(Memory):
    """The memory ranker, with the other channels by transitions from the viewer's channel, smoothed by popularity.

    Two things are chosen on the training part, by visits to channels new to the viewer: which transitions count (all,
    or those to a channel new to the viewer who moved), and the weight of popularity.
    """

    name = "memory + transitions"
    _columns = ("moves_share", "first_moves_share")
    _priors = (0.1, 0.3, 1.0, 3.0)  # popularity's weight; that of transitions is 1

    def __init__(self, popularity: Popularity, column: str = "first_moves_share", prior: float = 1.0) -> None:
        super().__init__(popularity)
        self.column, self.prior = column, prior

    def learn(self, past: RecordedVisits) -> None:
        super().learn(past)
        new = past.taken(np.flatnonzero((past.sets.kind_V == VisitKind.NEW) & ~past.outside_V))

        def gain(choice: tuple[str, float]) -> float:
            self.column, self.prior = choice
            return _gain(self.score(new), new)

        if len(new):
            self.column, self.prior = max(product(self._columns, self._priors), key=gain)

    def score(self, visits: RecordedVisits) -> Doubles:
        moves_R = _share(feature(visits, self.column), visits)
        popular_R = _share(self._popularity.score(visits), visits)
        return _remembered(visits, (moves_R + self.prior * popular_R) / (1 + self.prior))


def feature(visits: RecordedVisits, name: str) -> Doubles:
    """A feature of all candidates, float64 [R]."""
    return visits.sets.features_RF[:, COLUMN[name]].astype(np.float64)


def _remembered(visits: RecordedVisits, others_R: Doubles) -> Doubles:
    """Scores by the viewer's own channels first; in single precision, as the features are."""
    column = {name: visits.sets.features_RF[:, COLUMN[name]] for name in ("own_visits", "own_share", "own_recency")}
    own_R = 1.0 + column["own_share"] + 1.0 / (2.0 + column["own_recency"])
    score_R: Doubles = np.where(column["own_visits"] > 0, own_R + 0.1 * others_R, others_R)
    score_R[feature(visits, "own_here") == 2] = -1.0
    return score_R


def _share(value_R: Doubles, visits: RecordedVisits) -> Doubles:
    """The values, divided by their sum over the visit's candidates."""
    sum_V = np.add.reduceat(value_R, visits.sets.starts()) if len(visits) else np.zeros(0)
    share_R: Doubles = value_R / np.maximum(sum_V, 1.0)[visits.visit_R]
    return share_R


def _gain(value_R: Doubles, visits: RecordedVisits) -> float:
    """The sum of the visits' NDCG, in lists of any length."""
    seg_R = visits.visit_R
    above_V = np.bincount(seg_R, value_R > value_R[visits.entered_R][seg_R], len(visits))
    return float((1.0 / np.log2(2 + above_V)).sum())
