"""Owns version 0's score: its terms and their weights. Never picks candidates, never orders.

    score(viewer, room) =   visited  · habit of the viewer for the streamer, 0..1          (taste.py)
                          + content  · cosine of the mean of the viewer's recent rooms and the room, 0 if negative
                          + category · root of the share of the room's category in the visits, 1 = the largest
                          + language · the same of the room's language
                          + trending · log of entries of the last minute and ten, newcomers' count more, 1 = the hottest
                          + crowd    · log of audience and chat rate, 1 = the largest
                          + fresh    · 0.5^(age / half-life)

Each term lies in 0..1, so that a weight says how much its term can move a room.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from actors.candidates import Visited
from actors.labels import Labels
from actors.pools import Pools
from actors.room_table import RoomTable
from actors.taste import Taste
from actors.weights import Weights
from training.compiling import FLOATS, INTEGERS, kernel

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]

NONE = np.float32(0)
NOTHING = np.zeros(0, np.float32)  # of what a stranger has


@kernel(exact=True)
def scored(  # noqa: PLR0917  compiled functions take no keywords
    slots_N: NDArray[np.int64],
    shown_K: NDArray[np.int64],
    sum_S: Floats,
    category_S: NDArray[np.int32],
    by_category_L: Floats,
    language_S: NDArray[np.int32],
    by_language_L: Floats,
    alike_S: Floats,
    content: np.float32,
    strengths_V: Floats,
    visited: np.float32,
) -> tuple[NDArray[np.int64], Floats]:
    """Slots and scores of those shown. alike_S may be empty, and labels younger than the viewer's columns."""
    slots_K, score_K = np.empty(len(shown_K), np.int64), np.empty(len(shown_K), np.float32)
    first_visited = len(slots_N) - len(strengths_V)
    for k in range(len(shown_K)):
        n = shown_K[k]
        slot = slots_N[n]
        score, category, language = sum_S[slot], category_S[slot], language_S[slot]
        score += by_category_L[category] if category < len(by_category_L) else NONE
        score += by_language_L[language] if language < len(by_language_L) else NONE
        if len(alike_S):
            score += content * max(alike_S[slot], NONE)
        if n >= first_visited:
            score += visited * strengths_V[n - first_visited]
        slots_K[k], score_K[k] = slot, score
    return slots_K, score_K


def signatures() -> dict[Any, Any]:
    """Which kernels are called, for `compiling.load`, and with what."""
    labels, weight = types.int32[::1], types.float32
    columns = (FLOATS, labels, FLOATS, labels, FLOATS, FLOATS)
    return {scored: (INTEGERS, INTEGERS, *columns, weight, FLOATS, weight)}


class Affinity:
    """A viewer's weighted shares of categories and languages, as columns over their numbers while these stand."""

    def __init__(self, taste: Taste, rooms: RoomTable, weights: Weights) -> None:
        self._epochs = rooms.categories.epoch, rooms.languages.epoch
        self.by_category_L = _spread(taste.categories, rooms.categories, weights.category)
        self.liked = {number for label in taste.categories if (number := rooms.categories.number(label)) >= 0}
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

    def of(
        self,
        slots_N: Slots,
        shown_K: NDArray[np.int64],
        affinity: Affinity | None,
        alike_N: Floats | None,
        visited: Visited,
    ) -> tuple[Slots, Floats]:
        """Slots and scores, int64 and float32 [K], of some of the candidates, by their positions.

        The last of slots_N are those of `visited`, and of a repeated slot only the last has the whole score. affinity:
        None for a stranger. alike_N: cosines, by slot.
        """
        rooms, weights = self._rooms, self._weights
        return scored(
            slots_N,
            shown_K,
            self._pools.sum_N,
            rooms.category_N,
            NOTHING if affinity is None else affinity.by_category_L,
            rooms.language_N,
            NOTHING if affinity is None else affinity.by_language_L,
            NOTHING if alike_N is None else alike_N,
            np.float32(weights.content),
            visited.strengths_V,
            np.float32(weights.visited),
        )

    def terms(self, slot: int, affinity: Affinity | None, alike_N: Floats | None, visited: Visited) -> dict[str, float]:
        """What a candidate's score is the sum of, by the names above."""
        rooms, pools, weights = self._rooms, self._pools, self._weights
        return {
            "visited": weights.visited * visited.strengths.get(slot, 0.0),
            "content": weights.content * max(0.0, float(alike_N[slot])) if alike_N is not None else 0.0,
            "category": float(affinity.by_category_L[rooms.category_N[slot]]) if affinity is not None else 0.0,
            "language": float(affinity.by_language_L[rooms.language_N[slot]]) if affinity is not None else 0.0,
            "trending": weights.trending * float(pools.trending_N[slot]),
            "crowd": weights.crowd * float(pools.crowd_N[slot]),
            "fresh": weights.fresh * float(pools.fresh_N[slot]),
        }


def _spread(shares: Mapping[str, float], labels: Labels, weight: float) -> Floats:
    column_L = np.zeros(labels.high, np.float32)
    for label, share in shares.items():
        number = labels.number(label)
        if number >= 0:
            column_L[number] = weight * share
    return column_L
