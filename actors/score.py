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
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from actors.labels import Labels
from actors.pools import Pools
from actors.room_table import RoomTable
from actors.taste import Taste
from streaming.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term of the score counts."""

    visited: float = 3.0
    content: float = 1.0
    category: float = 2.0
    language: float = 0.5
    trending: float = 0.5
    crowd: float = 0.1
    fresh: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < 1_000:
                raise ConfigError(
                    f"recommend.weights.{field.name} is {getattr(self, field.name)}; it must be in [0, 1000)"
                )


def terms_of(
    slots_N: NDArray[np.int64], taste: Taste, rooms: RoomTable, pools: Pools
) -> dict[str, NDArray[np.float32]]:
    """Each term of each candidate before weighting, float32 [N]."""
    return {
        "visited": _spread(taste.habits, rooms.streamers, rooms.streamer_N[slots_N]),
        "content": _content(slots_N, taste, rooms),
        "category": _spread(taste.categories, rooms.categories, rooms.category_N[slots_N]),
        "language": _spread(taste.languages, rooms.languages, rooms.language_N[slots_N]),
        "trending": pools.trend_N[slots_N],
        "crowd": pools.crowd_N[slots_N],
        "fresh": pools.fresh_N[slots_N],
    }


def _content(slots_N: NDArray[np.int64], taste: Taste, rooms: RoomTable) -> NDArray[np.float32]:
    if taste.vector_D is None:
        return np.zeros(len(slots_N), np.float32)
    cosine_N: NDArray[np.float32] = rooms.index.vectors(slots_N) @ taste.vector_D
    return np.nan_to_num(np.maximum(cosine_N, 0))


def _spread(shares: Mapping[str, float], labels: Labels, numbers_N: NDArray[np.int32]) -> NDArray[np.float32]:
    """The share of each number's label, 0 where the viewer has none."""
    table_L = np.zeros(labels.high, np.float32)
    for label, share in shares.items():
        number = labels.number(label)
        if number >= 0:
            table_L[number] = share
    return table_L[numbers_N]
