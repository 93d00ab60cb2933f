"""Features of how alike the live rooms are to those that a viewer visited lately. Never encodes, never ranks.

A viewer's interest is the content of the channels of their last visits at the time of entry; the newest counts most.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from training.recorded.recorded_visits import RecordedVisits

VISITS = 8  # number of visits behind a viewer's interest
DECAY = 0.7  # weight of a visit relative to the next one

LIKENESS: Mapping[str, str] = MappingProxyType(
    {
        "like_now": "cosine of the viewer's taste with what the room is about now",
        "like_mean": "the same with the room's slow mean",
        "like_rank": "rooms that are more like the taste now, divided by the rooms live",
        "last_now": "cosine of the last channel visited, as it was then, with what the room is about now",
        "best_now": "the highest such cosine with any of the last visits",
        "drift": "cosine of what the room is about now with its slow mean",
    }
)

Floats = NDArray[np.float32]


class Likeness:
    """A source of these columns. They are NaN for a viewer without such visits, or a room without content."""

    names = tuple(LIKENESS)

    def __init__(self, placebo_seed: int | None = None) -> None:
        """placebo_seed: the rooms' content is dealt to one another, at each visit anew; None: it is their own."""
        self._seed = placebo_seed

    def columns(self, visits: RecordedVisits) -> Floats:
        """The features, float32 [R, K], K as `names`."""
        sets = visits.sets
        columns_RK = np.full((len(sets.features_RF), len(LIKENESS)), np.nan, np.float32)
        starts, sizes, times = sets.starts().tolist(), sets.size_V.tolist(), visits.at_us_V.tolist()
        for place, (start, size, at_us) in enumerate(zip(starts, sizes, times, strict=True)):
            row_N = np.arange(start, start + size)
            if self._seed is not None:
                row_N = row_N[np.random.default_rng((self._seed, at_us)).permutation(size)]
            now_ND = sets.contents.now_KD[sets.now_R[row_N]].astype(np.float32)
            mean_ND = _unit(sets.contents.mean_LD[sets.mean_R[row_N]].astype(np.float32))
            columns_RK[start : start + size] = _columns(now_ND, mean_ND, _visited(visits, place))
        return columns_RK


def _columns(now_ND: Floats, mean_ND: Floats, visited_HD: Floats) -> Floats:
    """The columns of one visit, float32 [N, K]."""
    columns_KN = np.full((len(LIKENESS), len(now_ND)), np.nan, np.float32)
    columns_KN[5] = np.einsum("nd,nd->n", now_ND, mean_ND)
    if len(visited_HD):
        weight_H = (DECAY ** np.arange(len(visited_HD) - 1, -1, -1)).astype(np.float32)
        sum_D: Floats = weight_H @ visited_HD
        taste_D = _unit(sum_D[None])[0]
        like_HN = visited_HD @ now_ND.T
        columns_KN[0] = now_ND @ taste_D
        columns_KN[1] = mean_ND @ taste_D
        columns_KN[2] = _rank(columns_KN[0])
        columns_KN[3] = like_HN[-1]
        columns_KN[4] = like_HN.max(axis=0)
    return columns_KN.T


def _visited(visits: RecordedVisits, place: int) -> Floats:
    """Unit vectors of the last visits to channels with content, float32 [H, D], the newest last."""
    pasts = visits.sets.pasts
    num = min(int(pasts.length_V[place]), VISITS)
    if not num:
        return np.empty((0, 0), np.float32)
    vectors_HD = visits.sets.contents.now_KD[pasts.now_VT[place, -num:]].astype(np.float32)
    known_HD: Floats = vectors_HD[~np.isnan(vectors_HD[:, 0])]
    return known_HD


def _unit(vectors_ND: Floats) -> Floats:
    """The vectors at unit length; NaN for zero vectors."""
    length_N1 = np.sqrt(np.einsum("nd,nd->n", vectors_ND, vectors_ND))[:, None]
    length_N1[length_N1 == 0] = np.nan
    unit_ND: Floats = vectors_ND / length_N1
    return unit_ND


def _rank(values_N: Floats) -> Floats:
    """The share of rooms with a larger value; NaN for NaN, which counts as the smallest."""
    known_N = ~np.isnan(values_N)
    ordered = np.sort(values_N[known_N])
    rank_N = np.full(len(values_N), np.nan, np.float32)
    rank_N[known_N] = (len(ordered) - np.searchsorted(ordered, values_N[known_N], side="right")) / len(values_N)
    return rank_N
