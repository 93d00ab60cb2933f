"""The baseline ranker's score on candidate sets, from viewers' pasts in examples. Never learns.

It scores like actors/recommend/baseline_score.py, except where a candidate set has less data. Shares of categories and
languages and the mean content come from the past visits in the candidate set; a profile may have more. Only the
strongest of a visit's signs of life is known. A followed streamer counts no more than another. A guessed language
counts as none. The largest value is that of the candidates. Content counts at full length instead of in fewer
directions.

Rooms that sink: a recording does not say what was shown, so every visit counts as a choice from the ranker's own page
of best rooms. Those not entered are lowered at the viewer's later visits, as a replica lowers them
(actors/state/shown_table.py). What is only looked at, without a visit, is not in a recording.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streaming.room.activity import MAX_ARRIVALS
from training.baseline import (
    BROAD_WEIGHT,
    PER_LOG_MINUTE,
    PER_SIGN,
    SMALL,
    TEN_SECONDS_IN_A_MINUTE,
    VISIT_HALF_LIFE_S,
    fresh,
    heat,
    rise,
    strength,
)
from training.content.declared_labels import UNKNOWN, label
from training.features.features import COLUMN
from training.model.batches import CandidateSets
from training.recorded.recorded_visits import RecordedVisits
from training.settings import Baseline, BaselineWeights

Floats = NDArray[np.float32]

LABELS = ("language", "category")  # in the order of training/content/declared_labels.py
DAY_S = 86_400.0
SOON_S = 2.0  # a visit that began so shortly before the list was shown is the one that came of it: features round
IN_ROOM = 2  # the value of own_here in the room that the viewer is in


class VersionZero:
    """The baseline ranker, which a replica without a model ranks by, among the rankers of an evaluation."""

    name = "version 0"

    def __init__(self, baseline: Baseline) -> None:
        """baseline: its settings where it serves."""
        self._baseline = baseline

    def learn(self, past: RecordedVisits) -> None:
        """Does nothing: the baseline ranker does not learn."""

    def score(self, visits: RecordedVisits) -> NDArray[np.float64]:
        """Scores of all candidates, float64 [R]."""
        return own_room_last(zero_scores(visits.sets, self._baseline), visits.sets)


def own_room_last(score_R: NDArray[np.float64], sets: CandidateSets) -> NDArray[np.float64]:
    """The scores with −inf for the room that the viewer is in, float64 [R]: a replica never recommends it."""
    return np.where(sets.features_RF[:, COLUMN["own_here"]] == IN_ROOM, -np.inf, score_R)


def zero_scores(sets: CandidateSets, baseline: Baseline) -> NDArray[np.float64]:
    """Scores of all candidates, float64 [R]. baseline: the settings of the baseline ranker that serves."""
    weights = baseline.weights
    column = {name: sets.features_RF[:, index].astype(np.float64) for name, index in COLUMN.items()}
    score_R = _of_habits(column, weights) + _of_crowds(column, sets.starts(), baseline)
    weight_VT = _visit_weights(sets)
    for place, start in enumerate(sets.starts().tolist()):
        length = int(sets.pasts.length_V[place])
        if length:
            rows = slice(start, start + int(sets.size_V[place]))
            weight_T = weight_VT[place, -length:]
            score_R[rows] += weights.content * np.maximum(_alike(sets, place, rows, weight_T), 0)
            score_R[rows] += _liked(sets.pasts.labels_VT2[place, -length:], sets.labels_R2[rows], weight_T, baseline)
    return score_R


def _of_habits(column: Mapping[str, NDArray[np.float64]], weights: BaselineWeights) -> NDArray[np.float64]:
    """The part of the score from the viewer's habits and from arrivals by the viewer's origin, float64 [R]."""
    visited_R = strength(column["own_visits"], np.nan_to_num(column["own_silence_s"]) / DAY_S)
    arrivals_R = np.log1p(column["arrivals_600s"]) / np.log1p(MAX_ARRIVALS)
    score_R: NDArray[np.float64] = weights.visited * visited_R + weights.arrivals * arrivals_R
    return score_R


def _of_crowds(
    column: Mapping[str, NDArray[np.float64]], starts_V: NDArray[np.intp], baseline: Baseline
) -> NDArray[np.float64]:
    """The part of the score that is the same for every viewer, float64 [R], relative to the candidate set's largest."""
    weights = baseline.weights
    heat_R = heat(*(column[name] for name in ("newcomers_60s", "newcomers_600s", "entries_60s", "entries_600s")))
    nobody_left_R = np.isnan(column["audience"])  # as far as was seen: all who came are there
    audience_R = np.where(nobody_left_R, column["room_visits"], column["audience"])
    crowd_R = audience_R + TEN_SECONDS_IN_A_MINUTE * column["messages_10s"]
    score_R: NDArray[np.float64] = weights.trending * _logarithmic(heat_R, starts_V)
    score_R += weights.crowd * _logarithmic(crowd_R, starts_V)
    score_R += weights.rising * rise(column["messages_10s"], column["messages_60s"])
    score_R += weights.fresh * fresh(column["room_age_s"], baseline.fresh_half_life_s)
    return score_R


def _logarithmic(value_R: NDArray[np.floating], starts_V: NDArray[np.intp]) -> NDArray[np.float64]:
    log_R = np.log1p(value_R)
    largest_V = np.maximum(np.maximum.reduceat(log_R, starts_V), SMALL)
    share_R: NDArray[np.float64] = log_R / np.repeat(largest_V, np.diff(np.r_[starts_V, len(log_R)]))
    return share_R


def _visit_weights(sets: CandidateSets) -> Floats:
    """Weights of past visits, float32 [V, T]: long ones and those with chat count more; they halve every six hours."""
    pasts = sets.pasts
    there_VT = np.arange(pasts.gap_s_VT.shape[1]) >= pasts.gap_s_VT.shape[1] - pasts.length_V[:, None]
    ago_VT = np.cumsum((pasts.gap_s_VT * there_VT)[:, ::-1], axis=1)[:, ::-1] - pasts.dwell_s_VT
    newest_V1 = np.where(there_VT, ago_VT, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    since_VT = np.maximum(ago_VT - np.where(np.isfinite(newest_V1), newest_V1, 0), 0)
    weight_VT = 1 + PER_LOG_MINUTE * np.log1p(pasts.dwell_s_VT / 60) + PER_SIGN * (pasts.action_VT > 0)
    found_VT: Floats = (weight_VT * np.exp2(-since_VT / VISIT_HALF_LIFE_S) * there_VT).astype(np.float32)
    return found_VT


def _alike(sets: CandidateSets, place: int, rows: slice, weight_T: Floats) -> Floats:
    """Cosine of each candidate's content with the weighted mean of the visited rooms' content, float32 [N]."""
    now_KD = sets.contents.now_KD
    visited_TD = np.nan_to_num(now_KD[sets.pasts.now_VT[place, -len(weight_T) :]].astype(np.float32))
    rooms_ND = np.nan_to_num(now_KD[sets.now_R[rows]].astype(np.float32))
    mean_D = weight_T @ visited_TD
    lengths_N = np.linalg.norm(rooms_ND, axis=1) * np.linalg.norm(mean_D)
    cosine_N: Floats = rooms_ND @ mean_D / np.maximum(lengths_N, np.float32(1e-12))
    return cosine_N


def _liked(past_T2: NDArray[np.int32], rooms_N2: NDArray[np.int32], weight_T: Floats, baseline: Baseline) -> Floats:
    """Weighted roots of the shares of candidates' languages and categories in the visits, float32 [N]; 1 = the largest.

    A room without a label gets the mean of the others.
    """
    liked_N = np.zeros(len(rooms_N2), np.float32)
    broad = label(baseline.broad_category)
    for which, name in enumerate(LABELS):
        labels, number_T = np.unique(past_T2[:, which], return_inverse=True)
        sums_L = np.bincount(number_T, weight_T)
        sums_L[(labels == broad) & (labels != UNKNOWN)] *= BROAD_WEIGHT
        share_L = np.where(labels != UNKNOWN, np.sqrt(sums_L / sums_L.max()), 0)
        place_N = np.minimum(np.searchsorted(labels, rooms_N2[:, which]), len(labels) - 1)
        share_N = share_L[place_N] * (labels[place_N] == rooms_N2[:, which])
        told_N = rooms_N2[:, which] != UNKNOWN
        liked_N += getattr(baseline.weights, name) * np.where(
            told_N, share_N, share_N.sum() / max(int(told_N.sum()), 1)
        )
    return liked_N


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
