"""The order of an answer: the best rooms first, spread over streamers and categories. Never changes a score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import kernel

LabelIds = NDArray[np.int32]


def diversify(
    score_K: NDArray[np.float64],
    streamer_K: LabelIds,
    category_K: LabelIds,
    *,
    limit: int,
    streamer_cost: float,
    category_cost: float,
) -> list[int]:
    """Positions of up to `limit` candidates, chosen greedily by score less the cost of likeness to those before.

    score_K: descending. The n-th room of a streamer costs (n − 1) · streamer_cost, that of a category (n − 1) ·
    category_cost. Among equal candidates the first is taken.
    """
    positions: list[int] = chosen(score_K, streamer_K, category_K, limit, streamer_cost, category_cost).tolist()
    return positions


@kernel(exact=True)
def chosen(  # noqa: PLR0917  compiled functions take no keywords
    score_K: NDArray[np.float64],
    streamer_K: LabelIds,
    category_K: LabelIds,
    limit: int,
    streamer_cost: float,
    category_cost: float,
) -> NDArray[np.int64]:
    """The positions that `diversify` returns. A candidate is worth at most its score, so few of them are looked at.

    Costs are known for the first `seen` candidates.
    """
    num = len(score_K)
    chosen_L = np.empty(min(limit, num), np.int64)
    is_left_K = np.ones(num, np.bool_)
    cost_K, seen = np.zeros(num), 0
    for place in range(len(chosen_L)):
        best, most = -1, -np.inf
        for position in range(num):
            if score_K[position] <= most:
                break
            if position == seen:
                for earlier in range(place):
                    cost_K[seen] += streamer_cost * (streamer_K[seen] == streamer_K[chosen_L[earlier]])
                    cost_K[seen] += category_cost * (category_K[seen] == category_K[chosen_L[earlier]])
                seen += 1
            value = score_K[position] - cost_K[position]
            if is_left_K[position] and (best < 0 or value > most):
                best, most = position, value
        chosen_L[place] = best
        is_left_K[best] = False
        for position in range(seen):
            cost_K[position] += streamer_cost * (streamer_K[position] == streamer_K[best])
            cost_K[position] += category_cost * (category_K[position] == category_K[best])
    return chosen_L


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    labels = types.int32[::1]
    return {chosen: (types.float64[::1], labels, labels, types.int64, types.float64, types.float64)}
