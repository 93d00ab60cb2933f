"""The reason why a room is in an answer: what moved its score most, if anything did. Never changes a score.

A room is moved by what it has more of than the average candidate: what all have is no reason. Visits to its streamer
count in full, since the average candidate has none. With a model a reason's weight is the drop of the log odds of
entering when the features behind it are set to the average candidate's (training/inference/causes.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from actors.recommend.baseline_score import Company, Score, ScoreInputs, largest
from actors.recommend.candidates import Visited
from actors.recommend.global_lists import GlobalLists
from actors.recommend.model_ranking import Ranked
from actors.recommend.schema import ReasonSource
from actors.state.room_table import RoomTable
from training.baseline import TERMS
from training.features.compiling import FLOATS, INTEGERS, kernel
from training.inference.causes import CROWD
from training.inference.interface import RoomsToExplain

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]

LIVE: ReasonSource = "live"  # where nothing moved the room far enough: it is live
STEERED: ReasonSource = "steered"
SOURCE_OF: Mapping[str, ReasonSource] = MappingProxyType(
    {
        "visited": "visited",
        "content": "similar",
        "category": "category",
        "language": "language",
        "arrivals": "others",
        "trending": "trending",
        "crowd": "popular",
        "rising": "trending",
        "fresh": "new",
    }
)
CROWDS = ("trending", "crowd", "rising")
NOBODY = ScoreInputs(None, None, Visited(), Company())
OF_TERMS = [SOURCE_OF[term] for term in TERMS]
OF_FALLS: tuple[ReasonSource, ...] = ("visited", "similar", "category", "language", "others", "trending", "new")


@kernel(exact=True)
def doubts(  # noqa: PLR0917  compiled functions take no keywords
    slots_N: Slots, places_K: Slots, trending_S: Floats, crowd_S: Floats, started_ms_S: Slots, now_ms: int, new_ms: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats, float]:
    """How K of N candidates compare with the average candidate, in crowd, trend and age.

    Returns whether a room is above average in crowd or trend, bool [K]; whether its crowd is more above it than its
    trend, bool [K]; ages in seconds, float32 [K], NaN unless a room is new; and the average candidate's age.
    """
    N, K = np.float32(len(slots_N)), len(places_K)
    trending, crowd, age_ms = np.float32(0), np.float32(0), 0.0
    for slot in slots_N:
        trending += trending_S[slot]
        crowd += crowd_S[slot]
        age_ms += now_ms - started_ms_S[slot]
    draws_K, is_there_K, age_s_K = np.empty(K, np.bool_), np.empty(K, np.bool_), np.empty(K, np.float32)
    for k in range(K):
        slot = slots_N[places_K[k]]
        more_trending, larger_crowd = trending_S[slot] - trending / N, crowd_S[slot] - crowd / N
        draws_K[k] = max(more_trending, larger_crowd) > 0
        is_there_K[k] = larger_crowd > more_trending
        since_ms = now_ms - started_ms_S[slot]
        age_s_K[k] = max(since_ms, 0) / 1e3 if since_ms < new_ms else np.nan
    return draws_K, is_there_K, age_s_K, age_ms / len(slots_N) / 1e3


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    return {
        doubts: (INTEGERS, INTEGERS, FLOATS, FLOATS, INTEGERS, types.int64, types.int64),
    }


class Reasons:
    """Finds the reasons of an answer's rooms. The caller holds the tables' lock."""

    def __init__(
        self, rooms: RoomTable, global_lists: GlobalLists, score: Score, *, least: float, new_ms: int, steer: float
    ) -> None:
        """least: effect a reason needs, as a share of its term's most, or in log odds. new_ms: age of a new room.

        steer: the most that a steer adds.
        """
        self._rooms = rooms
        self._global_lists = global_lists
        self._score = score
        self._least_T = score.weight_T * np.float32(least)
        self._least_of_crowds_T = np.where([term in CROWDS for term in TERMS], self._least_T, np.float32(np.inf))
        self._least_F = np.full(len(OF_FALLS), least, np.float32)
        self._least, self._least_steer = np.float32(least), np.float32(steer * least)
        self._new_ms = new_ms

    def of_terms(
        self, asked: ScoreInputs, slots_N: Slots, places_K: Slots, now_ms: int, gains_N: Floats | None = None
    ) -> list[ReasonSource]:
        """Reasons of K of N candidates by the baseline ranker's terms. gains_N: what a steer adds, float32 [N]."""
        since_ms = self._rooms.lately.event_now_ms(now_ms) - self._new_ms
        if gains_N is None:
            best_K = self._score.moved(asked, slots_N, places_K, self._least_T, since_ms)
            return [OF_TERMS[best] if best >= 0 else LIVE for best in best_K.tolist()]
        above_KT = self._score.above(asked, slots_N, places_K, since_ms)
        best_K = _most_moved(above_KT, self._least_T, gains_N, places_K, self._least_steer)
        return [LIVE if best < 0 else (*OF_TERMS, STEERED)[best] for best in best_K.tolist()]

    def of_crowds(self, slots_N: Slots, places_K: Slots) -> list[ReasonSource]:
        """Reasons of K of N rooms by who comes, who is there and what is said: for nobody in particular."""
        best_K = self._score.moved(NOBODY, slots_N, places_K, self._least_of_crowds_T, 0)
        return [OF_TERMS[best] if best >= 0 else LIVE for best in best_K.tolist()]

    def of_falls(
        self,
        ranked: Ranked,
        slots_N: Slots,
        places_K: Slots,
        now_ms: int,
        *,
        preferred_N: Floats | None = None,
        gains_N: Floats | None = None,
    ) -> list[ReasonSource]:
        """Reasons of K of N candidates by the drops of their log odds of entering. ranked: all N.

        preferred_N, gains_N: what a preferred language and a steer add to the log odds, float32 [N].
        """
        rooms, global_lists = self._rooms, self._global_lists
        event_now_ms = rooms.lately.event_now_ms(now_ms)
        draws_K, is_there_K, age_s_K, usual_s = doubts(
            slots_N,
            places_K,
            global_lists.trending_N,
            global_lists.crowd_N,
            rooms.started_ms_N,
            event_now_ms,
            self._new_ms,
        )
        fall_KC = ranked.falls(RoomsToExplain(places_K, draws_K, age_s_K, usual_s))
        if preferred_N is not None:
            fall_KC[:, OF_FALLS.index("language")] += preferred_N[places_K] - preferred_N.mean()
        if gains_N is None:
            best_K = largest(fall_KC, self._least_F)
        else:
            best_K = _most_moved(fall_KC, self._least_F, gains_N, places_K, self._least)
        return [
            LIVE if best < 0 else "popular" if best == CROWD and is_there else (*OF_FALLS, STEERED)[best]
            for best, is_there in zip(best_K.tolist(), is_there_K.tolist(), strict=True)
        ]


def _most_moved(moved_KT: Floats, least_T: Floats, gains_N: Floats, places_K: Slots, least: np.float32) -> Slots:
    """As `largest`, with what a steer adds to K of N rooms, above the average of all N, as the last column."""
    if not len(places_K):
        return places_K
    gain_K1 = (gains_N[places_K] - gains_N.mean()).reshape(-1, 1)
    return largest(np.ascontiguousarray(np.hstack([moved_KT, gain_K1]), np.float32), np.append(least_T, least))
