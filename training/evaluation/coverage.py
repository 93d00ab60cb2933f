"""How a ranker spreads its first ten places over channels. Never judges whether a place was right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PLACES = 10


@dataclass(frozen=True, slots=True)
class Spread:
    """gini: 0 = all channels equally often, 1 = one channel always. Shares: 0 to 1.

    small_share: of the places, those of small channels. coverage: of the channels ever live, those ever placed.
    """

    gini: float
    small_share: float
    coverage: float


def spread(places_C: NDArray[np.int64], live_C: NDArray[np.bool_], small_C: NDArray[np.bool_]) -> Spread:
    """places_C: how often each channel stood in the first ten; live_C: was ever live; small_C: is small."""
    placed = np.sort(places_C[live_C].astype(np.float64))
    n, total = len(placed), placed.sum()
    if not total:
        return Spread(0.0, 0.0, 0.0)
    gini = float((2 * np.arange(1, n + 1) - n - 1) @ placed / (n * total))
    return Spread(gini, float(places_C[small_C & live_C].sum() / total), float(np.count_nonzero(placed) / n))


def small(visits_C: NDArray[np.int64], live_C: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[C] the half of the channels ever live that had the fewest visits in training."""
    small_C = np.zeros(len(visits_C), bool)
    live = np.flatnonzero(live_C)
    small_C[live[np.argsort(visits_C[live], kind="stable")][: len(live) // 2]] = True
    return small_C
