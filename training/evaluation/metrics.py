"""Metrics of rankings, with intervals by viewer; differences of rankers; their spread over channels. Never ranks.

NDCG@10, Recall@1, Recall@10 and MRR come from the ranks of the rooms entered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METRICS = ("NDCG@10", "Recall@1", "Recall@10", "MRR")
RESAMPLES = 1000
CHUNK = 50  # resamples at a time: 50 x 100,000 viewers of float32 are 20 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and the 2.5th and 97.5th percentile of its resamples."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Group:
    """Visits of one kind: how many, by how many viewers, and each metric's interval. Without visits: no metrics."""

    visits: int
    viewers: int
    metrics: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Measured:
    """A ranker's figures by group. differences: to the reference, by group and metric; above 0 where it is better.

    A group without visits has no differences.
    """

    groups: Mapping[str, Group]
    differences: Mapping[str, Mapping[str, Interval]]


def gains(rank_V: NDArray[np.integer]) -> NDArray[np.float64]:
    """The contribution of each visit to METRICS, float64 [V, 4]. rank_V: of the room entered, from 1.

    With one relevant room the ideal gain is 1, so NDCG@10 is 1 / log2(1 + rank) up to rank 10.
    """
    rank = rank_V.astype(np.float64)
    return np.stack([(rank <= 10) / np.log2(1 + rank), rank <= 1, rank <= 10, 1 / rank], axis=1)


def measure(
    rank_RV: NDArray[np.integer],
    viewer_V: NDArray[np.integer],
    groups: Mapping[str, NDArray[np.bool_]],
    seed: int,
    reference: int | None = None,
) -> list[Measured]:
    """The metrics of R rankers in each group. Viewers are resampled, not visits: one viewer's visits are alike.

    groups: name → the group's visits, bool [V]. reference: the ranker, of the R, that the others are compared with. All
    rankers are measured on the same draws, so that a difference is more certain than its two figures.
    """
    viewer_index_V = np.unique(viewer_V, return_inverse=True)[1]
    num_viewers, width = int(viewer_index_V.max()) + 1, 1 + len(METRICS)
    columns = []
    for rank_V in rank_RV:
        gain_VW = np.c_[np.ones(len(rank_V)), gains(rank_V)]
        for in_V in groups.values():
            weighted_VW = in_V[:, None] * gain_VW
            columns += [np.bincount(viewer_index_V, weighted_VW[:, w], num_viewers) for w in range(width)]
    sums_UK: NDArray[np.float64] = np.stack(columns, axis=1).astype(np.float64)
    shape = (len(rank_RV), len(groups), width)
    total_RGW = sums_UK.sum(axis=0).reshape(shape)
    drawn_BRGW = _resample(sums_UK, seed).reshape(RESAMPLES, *shape)
    viewers = [len(np.unique(viewer_index_V[in_V])) for in_V in groups.values()]
    measured = []
    for r in range(len(rank_RV)):
        found = {name: _group(total_RGW[r, g], drawn_BRGW[:, r, g], viewers[g]) for g, name in enumerate(groups)}
        differences = {
            name: _intervals(
                _means(total_RGW[r, g]) - _means(total_RGW[reference, g]),
                _means(drawn_BRGW[:, r, g]) - _means(drawn_BRGW[:, reference, g]),
            )
            for g, name in enumerate(groups)
            if reference not in (None, r) and found[name].visits
        }
        measured.append(Measured(found, differences))
    return measured


def share(hit_V: NDArray[np.bool_], viewer_V: NDArray[np.integer], seed: int) -> Interval:
    """The share of V visits that are hits, with its interval: viewers are resampled. NaN where there is no visit."""
    if not len(hit_V):
        return Interval(np.nan, np.nan, np.nan)
    index_V = np.unique(viewer_V, return_inverse=True)[1]
    sums_U2 = np.stack([np.bincount(index_V), np.bincount(index_V, hit_V)], axis=1).astype(np.float64)
    drawn_B2 = _resample(sums_U2, seed)
    low, high = np.percentile(drawn_B2[:, 1] / drawn_B2[:, 0], [2.5, 97.5])
    return Interval(float(hit_V.mean()), float(low), float(high))


def _resample(sums_UK: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """The sums of B resamples, float64 [B, K]: each over as many viewers as there are, drawn with replacement."""
    rng, U = np.random.default_rng(seed), len(sums_UK)
    parts = []
    for _ in range(RESAMPLES // CHUNK):
        times_BU = np.stack([np.bincount(rng.integers(0, U, U), minlength=U) for _ in range(CHUNK)])
        parts.append(times_BU.astype(np.float64) @ sums_UK)
    return np.concatenate(parts)


def _group(total_W: NDArray[np.float64], drawn_BW: NDArray[np.float64], viewers: int) -> Group:
    visits = int(total_W[0])
    return Group(visits, viewers, _intervals(_means(total_W), _means(drawn_BW))) if visits else Group(0, 0, {})


def _means(sums_XW: NDArray[np.float64]) -> NDArray[np.float64]:
    """The metrics from sums over visits, [..., 4]. The first column counts visits; NaN where a resample drew none."""
    with np.errstate(invalid="ignore"):
        means_X4: NDArray[np.float64] = sums_XW[..., 1:] / sums_XW[..., :1]
    return means_X4


def _intervals(mean_4: NDArray[np.float64], drawn_B4: NDArray[np.float64]) -> dict[str, Interval]:
    low_4, high_4 = np.nanpercentile(drawn_B4, [2.5, 97.5], axis=0)
    return {name: Interval(float(mean_4[m]), float(low_4[m]), float(high_4[m])) for m, name in enumerate(METRICS)}


PLACES = 10


@dataclass(frozen=True, slots=True)
class Spread:
    """The spread of a ranker's first ten over channels. gini: 0 = all equally often, 1 = one always. Shares: 0 to 1.

    small_share: share of the places that small channels got. coverage: share of channels ever live that got a place.
    """

    gini: float
    small_share: float
    coverage: float


def spread(places_C: NDArray[np.int64], live_C: NDArray[np.bool_], small_C: NDArray[np.bool_]) -> Spread:
    """Measures the spread. places_C: how often each channel was in the first ten. live_C: was ever live."""
    placed = np.sort(places_C[live_C].astype(np.float64))
    n, total = len(placed), placed.sum()
    if not total:
        return Spread(0.0, 0.0, 0.0)
    gini = float((2 * np.arange(1, n + 1) - n - 1) @ placed / (n * total))
    return Spread(gini, float(places_C[small_C & live_C].sum() / total), float(np.count_nonzero(placed) / n))


def small(visits_C: NDArray[np.int64], live_C: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The small channels, bool [C]: the half of those ever live with the fewest visits in training."""
    small_C = np.zeros(len(visits_C), bool)
    live = np.flatnonzero(live_C)
    small_C[live[np.argsort(visits_C[live], kind="stable")][: len(live) // 2]] = True
    return small_C
