"""The baseline ranker's score of candidates, from a replica's tables, in compiled loops. Never chooses candidates.

Terms, weights and formulas: training/baseline.py. A room without a category or language gets the average of the rooms
that have one: a missing label is no reason against a room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from actors.recommend.candidates import Visited
from actors.recommend.global_lists import GlobalLists
from actors.state.label_ids import LabelIds
from actors.state.room_table import RoomTable
from actors.state.viewer_taste import InterestProfile
from streaming.room.activity import MAX_ARRIVALS, RECENT_MS
from training.baseline import TERMS
from training.features.compiling import FLOATS, FLOATS_2D, INTEGERS, INTEGERS_2D, kernel
from training.settings import BaselineWeights

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]

VISITED, CONTENT, CATEGORY, LANGUAGE, ARRIVALS, TRENDING, CROWD, RISING, FRESH = (
    TERMS.index(term)
    for term in ("visited", "content", "category", "language", "arrivals", "trending", "crowd", "rising", "fresh")
)
NONE = np.float32(0)
PER_ARRIVAL = np.float32(1 / np.log1p(MAX_ARRIVALS))
NOTHING = np.zeros(0, np.float32)  # in place of a cold-start viewer's columns


@kernel(exact=True)
def came_from(came_ms_A: NDArray[np.int64], origin_A: NDArray[np.int64], num: int, origin: int, since_ms: int) -> int:
    """Number of a room's newest arrivals that came from one origin after since_ms."""
    came = 0
    for place in range(num):
        came += origin_A[place] == origin and came_ms_A[place] > since_ms
    return came


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
    came_ms_SA: NDArray[np.int64],
    origin_SA: NDArray[np.int64],
    num_S: NDArray[np.int64],
    origin: int,
    since_ms: int,
    arrivals: np.float32,
) -> tuple[NDArray[np.int64], Floats]:
    """Slots and scores of the candidates at positions shown_K, int64 and float32 [K].

    alike_S may be empty, and label numbers may lie beyond the viewer's columns; both count 0. origin: where the viewer
    was last, 0 for nowhere. since_ms: arrivals until then do not count.
    """
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
        if origin != 0 and num_S[slot] > 0:
            came = came_from(came_ms_SA[slot], origin_SA[slot], num_S[slot], origin, since_ms)
            score += arrivals * (PER_ARRIVAL * np.float32(np.log1p(came)))
        slots_K[k], score_K[k] = slot, score
    return slots_K, score_K


@kernel(exact=True)
def parted(  # noqa: PLR0917  compiled functions take no keywords
    slots_N: NDArray[np.int64],
    category_S: NDArray[np.int32],
    by_category_L: Floats,
    language_S: NDArray[np.int32],
    by_language_L: Floats,
    alike_S: Floats,
    trending_S: Floats,
    crowd_S: Floats,
    rising_S: Floats,
    fresh_S: Floats,
    slots_V: NDArray[np.int64],
    strengths_V: Floats,
    strength_S: Floats,
    came_ms_SA: NDArray[np.int64],
    origin_SA: NDArray[np.int64],
    num_S: NDArray[np.int64],
    origin: int,
    since_ms: int,
    weight_T: Floats,
) -> Floats:
    """Terms that the scores are sums of, float32 [N, T], T as TERMS. Inputs as in `scored`. strength_S: scratch."""
    part_NT = np.empty((len(slots_N), len(weight_T)), np.float32)
    for v in range(len(slots_V)):
        strength_S[slots_V[v]] = strengths_V[v]
    for n in range(len(slots_N)):
        slot = slots_N[n]
        category, language = category_S[slot], language_S[slot]
        part_NT[n, VISITED] = weight_T[VISITED] * strength_S[slot]
        part_NT[n, CONTENT] = weight_T[CONTENT] * max(alike_S[slot], NONE) if len(alike_S) else NONE
        part_NT[n, CATEGORY] = by_category_L[category] if category < len(by_category_L) else NONE
        part_NT[n, LANGUAGE] = by_language_L[language] if language < len(by_language_L) else NONE
        part_NT[n, ARRIVALS] = NONE
        if origin != 0 and num_S[slot] > 0:
            came = came_from(came_ms_SA[slot], origin_SA[slot], num_S[slot], origin, since_ms)
            part_NT[n, ARRIVALS] = weight_T[ARRIVALS] * (PER_ARRIVAL * np.float32(np.log1p(came)))
        part_NT[n, TRENDING] = weight_T[TRENDING] * trending_S[slot]
        part_NT[n, CROWD] = weight_T[CROWD] * crowd_S[slot]
        part_NT[n, RISING] = weight_T[RISING] * rising_S[slot]
        part_NT[n, FRESH] = weight_T[FRESH] * fresh_S[slot]
    for v in range(len(slots_V)):
        strength_S[slots_V[v]] = NONE
    return part_NT


@kernel(exact=True)
def above_average(  # noqa: PLR0917  compiled functions take no keywords
    parts_NT: Floats,
    places_K: Slots,
    slots_K: Slots,
    category_S: NDArray[np.int32],
    untold_category: int,
    language_S: NDArray[np.int32],
    untold_language: int,
    started_ms_S: Slots,
    new_ms: int,
) -> Floats:
    """Terms of K of N candidates above the average of all N, float32 [K, T]; visits count in full.

    A label that the room lacks gives 0, and so does freshness of a room that began before new_ms.
    """
    N, T = parts_NT.shape
    mean_T = np.zeros(T, np.float32)
    for n in range(N):
        for t in range(T):
            mean_T[t] += parts_NT[n, t]
    above_KT = np.empty((len(places_K), T), np.float32)
    for k in range(len(places_K)):
        for t in range(T):
            above_KT[k, t] = parts_NT[places_K[k], t] - (NONE if t == VISITED else mean_T[t] / np.float32(N))
        slot = slots_K[k]
        if category_S[slot] == untold_category:
            above_KT[k, CATEGORY] = 0
        if language_S[slot] == untold_language:
            above_KT[k, LANGUAGE] = 0
        if started_ms_S[slot] <= new_ms:
            above_KT[k, FRESH] = 0
    return above_KT


@kernel(exact=True)
def largest(moved_KT: Floats, least_T: Floats) -> Slots:
    """Position of the largest value above 0 that reaches least_T, int64 [K]; −1 where none does."""
    best_K = np.full(len(moved_KT), -1)
    for k in range(len(moved_KT)):
        most = np.float32(0)
        for t in range(moved_KT.shape[1]):
            if moved_KT[k, t] > most and moved_KT[k, t] >= least_T[t]:
                best_K[k], most = t, moved_KT[k, t]
    return best_K


@kernel(exact=True)
def most_moved(  # noqa: PLR0917  compiled functions take no keywords
    slots_N: NDArray[np.int64],
    places_K: Slots,
    untold_category: int,
    untold_language: int,
    started_ms_S: Slots,
    new_ms: int,
    least_T: Floats,
    category_S: NDArray[np.int32],
    by_category_L: Floats,
    language_S: NDArray[np.int32],
    by_language_L: Floats,
    alike_S: Floats,
    trending_S: Floats,
    crowd_S: Floats,
    rising_S: Floats,
    fresh_S: Floats,
    slots_V: NDArray[np.int64],
    strengths_V: Floats,
    strength_S: Floats,
    came_ms_SA: NDArray[np.int64],
    origin_SA: NDArray[np.int64],
    num_S: NDArray[np.int64],
    origin: int,
    since_ms: int,
    weight_T: Floats,
) -> Slots:
    """Position in TERMS of the term that moved each of K candidates most, int64 [K]; −1 for none.

    It is one call, because a call costs more than the sums. Each column is an argument, because a tuple of them makes a
    call 3 to 5 us slower.
    """
    part_NT = parted(
        slots_N,
        category_S,
        by_category_L,
        language_S,
        by_language_L,
        alike_S,
        trending_S,
        crowd_S,
        rising_S,
        fresh_S,
        slots_V,
        strengths_V,
        strength_S,
        came_ms_SA,
        origin_SA,
        num_S,
        origin,
        since_ms,
        weight_T,
    )
    above_KT = above_average(
        part_NT,
        places_K,
        slots_N[places_K],
        category_S,
        untold_category,
        language_S,
        untold_language,
        started_ms_S,
        new_ms,
    )
    return largest(above_KT, least_T)


def signatures() -> dict[Any, Any]:
    """The kernels called here with their argument types, for `compiling.load`."""
    labels, weight = types.int32[::1], types.float32
    columns = (FLOATS, labels, FLOATS, labels, FLOATS, FLOATS)
    arrived = (INTEGERS_2D, INTEGERS_2D, INTEGERS, types.int64, types.int64)
    parts = (INTEGERS, labels, FLOATS, labels, *[FLOATS] * 6, INTEGERS, *[FLOATS] * 2, *arrived, FLOATS)
    return {
        scored: (INTEGERS, INTEGERS, *columns, weight, FLOATS, weight, *arrived, weight),
        parted: parts,
        above_average: (
            FLOATS_2D,
            *(INTEGERS,) * 2,
            *(labels, types.int64) * 2,
            *(INTEGERS, types.int64),
        ),
        largest: (FLOATS_2D, FLOATS),
        most_moved: (INTEGERS, INTEGERS, types.int64, types.int64, INTEGERS, types.int64, FLOATS, *parts[1:]),
    }


@dataclass(frozen=True, slots=True)
class Company:
    """The viewer's last streamer, as a number of `LiveRooms.origin`, and since when arrivals from there count."""

    origin: int = 0
    since_ms: int = 0


class Affinity:
    """A viewer's weighted shares of categories and languages, as columns by label number; valid while `stands`."""

    def __init__(self, interests: InterestProfile, rooms: RoomTable, weights: BaselineWeights) -> None:
        self._epochs = rooms.categories.epoch, rooms.languages.epoch
        self.by_category_L = _spread(interests.categories, rooms.categories, weights.category)
        self.by_language_L = _spread(interests.languages, rooms.languages, weights.language)
        numbers = [rooms.categories.number(label) for label in interests.top_categories]
        self.top_C = np.array(numbers, np.int64)  # the viewer's categories by number, -1 for one without rooms

    def stands(self, rooms: RoomTable) -> bool:
        """Whether every number still stands for the same label."""
        return self._epochs == (rooms.categories.epoch, rooms.languages.epoch)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreInputs:
    """A viewer's inputs to the score. affinity: None for a cold-start viewer. alike_N: cosines, by slot."""

    affinity: Affinity | None
    alike_N: Floats | None
    visited: Visited
    company: Company


class Score:
    """Scores candidates. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, global_lists: GlobalLists, weights: BaselineWeights) -> None:
        self._rooms = rooms
        self._global_lists = global_lists
        self._weights = weights
        self.weight_T = np.array([getattr(weights, term) for term in TERMS], np.float32)
        self._strength_S = np.zeros(len(rooms.live_N), np.float32)

    def of(
        self,
        slots_N: Slots,
        shown_K: NDArray[np.int64],
        affinity: Affinity | None,
        alike_N: Floats | None,
        visited: Visited,
        *,
        company: Company,
    ) -> tuple[Slots, Floats]:
        """Slots and scores, int64 and float32 [K], of the candidates at positions shown_K.

        slots_N ends with the slots of `visited`; where a slot is repeated, only its last position has the whole score.
        affinity: None for a cold-start viewer. alike_N: cosines, by slot.
        """
        rooms, weights, came = self._rooms, self._weights, self._rooms.lately.came
        return scored(
            slots_N,
            shown_K,
            self._global_lists.sum_N,
            rooms.category_N,
            NOTHING if affinity is None else affinity.by_category_L,
            rooms.language_N,
            NOTHING if affinity is None else affinity.by_language_L,
            NOTHING if alike_N is None else alike_N,
            np.float32(weights.content),
            visited.strengths_V,
            np.float32(weights.visited),
            came.came_ms_RA,
            came.origin_RA,
            came.num_R,
            company.origin,
            company.since_ms,
            np.float32(weights.arrivals),
        )

    def event_now_ms(self, now_ms: int) -> int:
        """The event time that corresponds to a time of the clock."""
        return self._rooms.lately.event_now_ms(now_ms)

    def company(self, interests: InterestProfile, now_ms: int) -> Company:
        """The viewer's `Company` for `of` and `parts`, as of now."""
        lately = self._rooms.lately
        return Company(lately.origin(interests.origin), lately.event_now_ms(now_ms) - RECENT_MS)

    def parts(self, asked: ScoreInputs, slots_N: Slots) -> NDArray[np.float32]:
        """Terms that the candidates' scores are sums of, float32 [N, T], T as TERMS."""
        return parted(slots_N, *self._columns(asked))

    def moved(self, asked: ScoreInputs, slots_N: Slots, places_K: Slots, least_T: Floats, new_ms: int) -> Slots:
        """Position in TERMS of the term that moved each of K of N candidates most, int64 [K]; −1: none reaches least_T.

        A term moves a room by what it has above the average candidate. Visits count in full. Freshness of a room that
        began before new_ms counts nothing, nor do labels that a room lacks.
        """
        rooms = self._rooms
        return most_moved(
            slots_N,
            places_K,
            rooms.categories.number(""),
            rooms.languages.number(""),
            rooms.started_ms_N,
            new_ms,
            least_T,
            *self._columns(asked),
        )

    def _columns(self, asked: ScoreInputs) -> tuple[Any, ...]:
        """The arguments of `parted` after the slots."""
        rooms, global_lists, came, affinity = self._rooms, self._global_lists, self._rooms.lately.came, asked.affinity
        return (
            rooms.category_N,
            NOTHING if affinity is None else affinity.by_category_L,
            rooms.language_N,
            NOTHING if affinity is None else affinity.by_language_L,
            NOTHING if asked.alike_N is None else asked.alike_N,
            global_lists.trending_N,
            global_lists.crowd_N,
            global_lists.rising_N,
            global_lists.fresh_N,
            asked.visited.slots_V,
            asked.visited.strengths_V,
            self._strength_S,
            came.came_ms_RA,
            came.origin_RA,
            came.num_R,
            asked.company.origin,
            asked.company.since_ms,
            self.weight_T,
        )

    def above(self, asked: ScoreInputs, slots_N: Slots, places_K: Slots, new_ms: int) -> Floats:
        """By how much each term of K of N candidates is above the average candidate's, float32 [K, T]; see `moved`."""
        rooms = self._rooms
        return above_average(
            self.parts(asked, slots_N),
            places_K,
            slots_N[places_K],
            rooms.category_N,
            rooms.categories.number(""),
            rooms.language_N,
            rooms.languages.number(""),
            rooms.started_ms_N,
            new_ms,
        )

    def terms(self, asked: ScoreInputs, slot: int) -> dict[str, float]:
        """The terms that a candidate's score is the sum of, by the names in TERMS."""
        return dict(zip(TERMS, self.parts(asked, np.array([slot]))[0].tolist(), strict=True))


def _spread(shares: Mapping[str, float], labels: LabelIds, weight: float) -> Floats:
    """Weighted shares by label number, float32 [L]. The missing label gets the mean over rooms that have one."""
    column_L = np.zeros(labels.high, np.float32)
    total = 0.0
    for label, share in shares.items():
        number = labels.number(label)
        if number >= 0:
            column_L[number] = weight * share
            total += weight * share * labels.uses(number)
    untold = labels.number("")
    if untold >= 0:
        column_L[untold] = total / max(labels.total - labels.uses(untold), 1)
    return column_L
