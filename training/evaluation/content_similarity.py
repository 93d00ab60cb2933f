"""Features of how alike the live rooms are to those that a viewer visited lately. Never encodes, never ranks.

A viewer's interest is the content of the channels of their last visits at the time of entry; the newest counts most.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from training.features.visit_kinds import VisitKind
from training.recorded.content_timeline import Contents, ContentTimeline
from training.recorded.replay_state import Moment

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


class Likeness:
    """An observer of visits. `columns` are NaN for a viewer without such visits, or a room without content."""

    names = tuple(LIKENESS)

    def __init__(self, timeline: ContentTimeline, rooms: Contents | None = None) -> None:
        """rooms: the content of the live rooms, if another than the timeline's, as for a placebo."""
        self._timeline = timeline
        self._rooms = rooms or timeline
        self._visits: defaultdict[int, deque[tuple[int, int]]] = defaultdict(lambda: deque(maxlen=VISITS))

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """Applies one message, in time order."""
        if kind != VisitKind.NO_VISIT:
            self._visits[viewer].append((channel, at_us))

    def columns(self, moment: Moment) -> NDArray[np.float32]:
        """The features, float32 [N, K], K as `names`, from the messages applied so far."""
        content = self._rooms.at(moment.live_N, moment.at_us)
        now_ND, mean_ND = content.now_ND, _unit(content.mean_ND)
        columns_KN = np.full((len(LIKENESS), len(moment.live_N)), np.nan, np.float32)
        columns_KN[5] = np.einsum("nd,nd->n", now_ND, mean_ND)
        visited_HD = self._visited(moment.viewer)
        if len(visited_HD):
            weight_H = (DECAY ** np.arange(len(visited_HD) - 1, -1, -1)).astype(np.float32)
            sum_D: NDArray[np.float32] = weight_H @ visited_HD
            taste_D = _unit(sum_D[None])[0]
            like_HN = visited_HD @ now_ND.T
            columns_KN[0] = now_ND @ taste_D
            columns_KN[1] = mean_ND @ taste_D
            columns_KN[2] = _rank(columns_KN[0])
            columns_KN[3] = like_HN[-1]
            columns_KN[4] = like_HN.max(axis=0)
        return np.ascontiguousarray(columns_KN.T)

    def _visited(self, viewer: int) -> NDArray[np.float32]:
        """Unit vectors of the last visits to channels with content, float32 [H, D], the newest last."""
        visits = self._visits.get(viewer)
        if not visits:
            return np.empty((0, 0), np.float32)
        channels_H, at_us_H = np.array(visits, np.int64).T
        rows = self._timeline.rows(channels_H, at_us_H)
        vectors_HD = self._timeline.now_RD[rows.now_N].astype(np.float32)
        known_HD: NDArray[np.float32] = vectors_HD[~np.isnan(vectors_HD[:, 0])]
        return known_HD


def _unit(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors at unit length; NaN for zero vectors."""
    length_N1 = np.sqrt(np.einsum("nd,nd->n", vectors_ND, vectors_ND))[:, None]
    length_N1[length_N1 == 0] = np.nan
    unit_ND: NDArray[np.float32] = vectors_ND / length_N1
    return unit_ND


def _rank(values_N: NDArray[np.float32]) -> NDArray[np.float32]:
    """The share of rooms with a larger value; NaN for NaN, which counts as the smallest."""
    known_N = ~np.isnan(values_N)
    ordered = np.sort(values_N[known_N])
    rank_N = np.full(len(values_N), np.nan, np.float32)
    rank_N[known_N] = (len(ordered) - np.searchsorted(ordered, values_N[known_N], side="right")) / len(values_N)
    return rank_N
