"""Draws members of many weighted groups at once. Never knows what the groups are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class WeightedGroups:
    """N members, each in one of G groups, drawn within a group in proportion to their weights."""

    def __init__(self, groups_N: Ints, weights_N: Floats, num_groups: int) -> None:
        self._order_N = np.argsort(groups_N, kind="stable")
        self._until_N = np.cumsum(weights_N[self._order_N])
        self._bounds = np.searchsorted(groups_N[self._order_N], np.arange(num_groups + 1))

    def draw(self, groups_K: Ints, uniform_K: Floats) -> Ints:
        """Draws a member of each of the K groups, -1 where the group has none. `uniform_K` in [0, 1)."""
        if not len(self._order_N):
            return np.full(len(groups_K), -1, np.int64)
        low, high = self._bounds[groups_K], self._bounds[groups_K + 1]
        before = np.where(low > 0, self._until_N[low - 1], 0.0)
        upto = np.where(high > 0, self._until_N[high - 1], 0.0)
        position = np.searchsorted(self._until_N, before + uniform_K * (upto - before), side="right")
        member = self._order_N[
            np.clip(position, 0, len(self._order_N) - 1).clip(low, np.maximum(high - 1, low) % len(self._order_N))
        ]
        return np.where(high > low, member, -1)


def one_of(weights_KF: Floats, uniform_K: Floats) -> Ints:
    """Draws a column for each row in proportion to its weights, -1 where all weights of the row are 0."""
    until_KF = np.cumsum(weights_KF, axis=1)
    total_K = until_KF[:, -1]
    column = (until_KF <= (uniform_K * total_K)[:, None]).sum(axis=1)
    return np.where(total_K > 0, np.minimum(column, weights_KF.shape[1] - 1), -1)
