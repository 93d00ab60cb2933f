"""The baseline ranker with rooms that were shown and not entered lowered for a while, replayed. Never learns.

A recording does not say what was shown. So every visit is taken for a choice from a list of this ranker's own: the page
of its best rooms. Those of them that the viewer did not enter are lowered at the viewer's later visits, as a replica
lowers them (actors/state/shown_rooms.py). What is only looked at, without a visit, is not in a recording: the replay
shows less than a platform does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.evaluation.logged_baseline import VersionZero
from training.features.features import COLUMN
from training.recorded.recorded_visits import RecordedVisits
from training.settings import Baseline

SOON_S = 2.0  # a visit that began so shortly before the list was shown is the one that came of it: features round


@dataclass(frozen=True, slots=True)
class Sinking:
    """How a room sinks. cost: at each time shown, in the score's unit. most: beyond which it sinks no further.

    page: rooms shown at a visit.
    """

    cost: float = 0.5
    half_life_s: float = 600.0
    most: float = 1.5
    page: int = 20


@dataclass(slots=True)
class _Shown:
    """A room that a viewer was shown. cost: as of at_s."""

    cost: float
    at_s: float


@dataclass(slots=True)
class SinkingZero:
    """The baseline ranker with rooms that sink. Score visits in time order: what was shown is kept between calls."""

    name: str
    zero: VersionZero
    sinking: Sinking
    _shown: dict[int, dict[int, _Shown]] = field(default_factory=dict)  # by viewer, by channel

    @classmethod
    def of(cls, baseline: Baseline, sinking: Sinking, name: str) -> SinkingZero:
        """Builds it on the baseline ranker with these settings."""
        return cls(name, VersionZero(baseline), sinking)

    def learn(self, past: RecordedVisits) -> None:
        """Does nothing: neither the baseline ranker nor the rule learns."""

    def score(self, visits: RecordedVisits) -> NDArray[np.float64]:
        """Scores of all candidates, float64 [R]. Whether a room was entered is read of the viewer's past alone."""
        score_R = self.zero.score(visits)
        since_R = visits.sets.features_RF[:, COLUMN["own_visit_age_s"]]
        channel_R = visits.channel_R
        starts_V = visits.sets.starts().tolist()
        for place, start in enumerate(starts_V):
            rows = slice(start, start + int(visits.sets.size_V[place]))
            at_s = float(visits.at_us_V[place]) / 1e6
            shown = self._shown.setdefault(int(visits.viewer_V[place]), {})
            score_R[rows] -= self._costs(shown, channel_R[rows], since_R[rows], at_s)
            self._show(shown, channel_R[rows], score_R[rows], at_s)
        return score_R

    def _costs(
        self,
        shown: dict[int, _Shown],
        channel_N: NDArray[np.int32],
        since_N: NDArray[np.float32],
        at_s: float,
    ) -> NDArray[np.float64]:
        """What the candidates lose, float64 [N]. Forgets those that the viewer has entered since they were shown."""
        cost_N = np.zeros(len(channel_N))
        if not shown:
            return cost_N
        for n, channel in enumerate(channel_N.tolist()):
            one = shown.get(channel)
            if one is None:
                continue
            if at_s - float(since_N[n]) >= one.at_s - SOON_S:  # NaN, never there, is not
                del shown[channel]
                continue
            cost_N[n] = self._left(one, at_s)
        return cost_N

    def _left(self, one: _Shown, at_s: float) -> float:
        return one.cost * math.pow(0.5, max(0.0, at_s - one.at_s) / self.sinking.half_life_s)

    def _show(
        self, shown: dict[int, _Shown], channel_N: NDArray[np.int32], score_N: NDArray[np.float64], at_s: float
    ) -> None:
        """Notes the best rooms as shown."""
        best_L = np.argsort(-score_N, kind="stable")[: self.sinking.page]
        for channel, score in zip(channel_N[best_L].tolist(), score_N[best_L].tolist(), strict=True):
            if score == -math.inf:  # the room that the viewer is in is not shown
                continue
            one = shown.get(channel)
            left = self._left(one, at_s) if one is not None else 0.0
            shown[channel] = _Shown(min(left + self.sinking.cost, self.sinking.most), at_s)
