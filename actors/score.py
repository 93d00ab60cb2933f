"""Owns version 0's score: its terms and their weights. Never picks candidates, never orders.

    score(viewer, room) =   visited  · habit of the viewer for the streamer, 0..1          (taste.py)
                          + content  · cosine of the mean of the viewer's recent rooms and the room, 0 if negative
                          + category · share of the room's category in the dwell-weighted visits, 1 = the largest
                          + language · share of the room's language in them
                          + trending · log of entries of the last minute and ten, newcomers' count more, 1 = the hottest
                          + crowd    · log of audience and chat rate, 1 = the largest
                          + fresh    · 0.5^(age / half-life)

Each term lies in 0..1, so that a weight says how much its term can move a room.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from actors.labels import Labels
from actors.pools import Pools
from actors.room_table import RoomTable
from actors.taste import Taste
from actors.weights import Weights

Floats = NDArray[np.float32]


class Affinity:
    """A viewer's weighted shares of categories and languages, as columns over their numbers while these stand."""

    def __init__(self, taste: Taste, rooms: RoomTable, weights: Weights) -> None:
        self._epochs = rooms.categories.epoch, rooms.languages.epoch
        self.by_category_L = _spread(taste.categories, rooms.categories, weights.category)
        self.by_language_L = _spread(taste.languages, rooms.languages, weights.language)

    def stands(self, rooms: RoomTable) -> bool:
        """Whether every number still means the same label."""
        return self._epochs == (rooms.categories.epoch, rooms.languages.epoch)


class Score:
    """Scores candidates. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, pools: Pools, weights: Weights) -> None:
        self._rooms = rooms
        self._pools = pools
        self._weights = weights

    def of(self, slots_N: NDArray[np.int64], taste: Taste, affinity: Affinity, visited: Mapping[int, float]) -> Floats:
        """The score of each candidate, float32 [N]. slots_N: ascending; visited: slot → strength of the habit."""
        rooms = self._rooms
        score_N: Floats = self._pools.sum_N[slots_N]
        if not taste.known:
            return score_N
        score_N += affinity.by_category_L[rooms.category_N[slots_N]]
        score_N += affinity.by_language_L[rooms.language_N[slots_N]]
        if taste.query_E is not None:
            score_N += self._content(slots_N, taste.query_E)
        for slot, strength in visited.items():
            at = int(slots_N.searchsorted(slot))
            if at < len(slots_N) and slots_N[at] == slot:
                score_N[at] += self._weights.visited * strength
        return score_N

    def terms(self, slot: int, taste: Taste, affinity: Affinity, visited: Mapping[int, float]) -> dict[str, float]:
        """What a candidate's score is the sum of, by the names above."""
        rooms, pools, weights = self._rooms, self._pools, self._weights
        content = 0.0
        if taste.query_E is not None:
            content = float(self._content(np.array([slot]), taste.query_E)[0])
        return {
            "visited": weights.visited * visited.get(slot, 0.0),
            "content": content,
            "category": float(affinity.by_category_L[rooms.category_N[slot]]),
            "language": float(affinity.by_language_L[rooms.language_N[slot]]),
            "trending": weights.trending * float(pools.trending_N[slot]),
            "crowd": weights.crowd * float(pools.crowd_N[slot]),
            "fresh": weights.fresh * float(pools.fresh_N[slot]),
        }

    def _content(self, slots_N: NDArray[np.int64], query_E: Floats) -> Floats:
        cosine_N: Floats = self._rooms.index.vectors(slots_N) @ query_E
        np.fmax(cosine_N, 0, out=cosine_N)  # fmax and not maximum: a room without a vector is NaN, and gets 0
        cosine_N *= np.float32(self._weights.content)
        return cosine_N


def _spread(shares: Mapping[str, float], labels: Labels, weight: float) -> Floats:
    column_L = np.zeros(labels.high, np.float32)
    for label, share in shares.items():
        number = labels.number(label)
        if number >= 0:
            column_L[number] = weight * share
    return column_L
