"""Owns from viewer to scored rooms: candidates, then the score of the version in force. Never orders, never explains.

Version 0 scores by `score.py`. A version with a ranker has the best of these candidates ranked by it; one without
scores as version 0 does, with the towers' product in the place of the cosine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.alignment import Alignment, ModelAlignment
from actors.answer import Query
from actors.candidates import NO_FILTERS, Candidates
from actors.ranking import Ranking, log_odds
from actors.score import Score
from actors.tastes import Held

Floats = NDArray[np.float32]

SCORE_DIGITS = 4  # the fifth says nothing of a room, and writing all 17 of a float takes as long as the rest of an item


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """K rooms that may be shown, the best first. terms: of the k-th, what its score comes from."""

    slots_K: NDArray[np.int64]
    values_K: NDArray[np.float64]  # what they are ordered by, descending
    scores_K: NDArray[np.float64]  # what is shown
    nearest: NDArray[np.int64]  # slots of the rooms most alike
    terms: Callable[[int], dict[str, float]]


class Scoring:
    """Finds and scores rooms for a viewer under a version. The caller holds the tables' lock."""

    def __init__(self, candidates: Candidates, score: Score, ranking: Ranking, ranked: int) -> None:
        """ranked: how many candidates a ranker is given at least, the best by version 0's terms; 0: all."""
        self._candidates = candidates
        self._score = score
        self._ranked = ranked
        self._ranking = ranking

    def of(self, query: Query, held: Held, alignment: Alignment, most: int, now_ms: int) -> Scored:
        """The `most` best rooms for a query."""
        candidates, taste, visited = self._candidates, held.taste, held.visited
        alike_N = candidates.alike(held.query_E, alignment.index)
        nearest = candidates.nearest(alike_N)
        if query.filters == NO_FILTERS:
            slots_N = candidates.union(visited, taste, nearest)
        else:
            slots_N = candidates.union_filtered(visited, alike_N, query.filters)
        scores_N = self._score.of(slots_N, held.affinity, alike_N, visited)
        hidden = query.exclude if taste.room is None else [*query.exclude, taste.room]
        shown_N = candidates.may_be_shown(slots_N, query.filters, hidden)
        slots_N, scores_N = slots_N[shown_N], scores_N[shown_N]
        if isinstance(alignment, ModelAlignment) and alignment.model.ranks and len(slots_N):
            return self._by_model(
                slots_N,
                scores_N,
                held=held,
                alignment=alignment,
                alike_N=alike_N,
                nearest=nearest,
                most=most,
                now_ms=now_ms,
            )
        best_K = (-scores_N).argsort()[:most]
        slots_K = slots_N[best_K]
        values_K = scores_N[best_K].astype(np.float64).round(SCORE_DIGITS)

        def terms(place: int) -> dict[str, float]:
            return self._score.terms(int(slots_K[place]), held.affinity, alike_N, visited)

        return Scored(slots_K, values_K, values_K, nearest, terms)

    def _by_model(
        self,
        slots_N: NDArray[np.int64],
        scores_N: Floats,
        *,
        held: Held,
        alignment: ModelAlignment,
        alike_N: Floats | None,
        nearest: NDArray[np.int64],
        most: int,
        now_ms: int,
    ) -> Scored:
        given = max(self._ranked, most)
        if self._ranked > 0 and given < len(slots_N):
            slots_N = slots_N[np.argpartition(-scores_N, given)[:given]]
        ranked = self._ranking.rank(alignment, slots_N, held, alike_N, now_ms)
        odds_N = log_odds(ranked.enter_N)
        best_K = (-odds_N).argsort()[:most]

        def terms(place: int) -> dict[str, float]:
            at = best_K[place]
            slot = int(slots_N[at])
            return {
                "enter": float(ranked.enter_N[at]),
                "stay": float(ranked.stay_N[at]),
                "interact": float(ranked.interact_N[at]),
                "dot": float(alike_N[slot]) if alike_N is not None else 0.0,
                "gate": float(alignment.rooms.gate_N[slot]),
            }

        values_K = odds_N[best_K].astype(np.float64).round(SCORE_DIGITS)
        scores_K = ranked.enter_N[best_K].astype(np.float64).round(SCORE_DIGITS)
        return Scored(slots_N[best_K], values_K, scores_K, nearest, terms)
