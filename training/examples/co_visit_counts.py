"""Counts of transitions between streamers, co-visits, and visits, sparse. Never knows who a viewer is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.features.visit_sequence import LONGEST_HABITS
from training.inference.co_visits import Transitions, sparse

Row = dict[int, list[float]]


class TransitionCounts:
    """Running counts of transitions, co-visits and visits by streamers' rows. Row 0, unknown, is not counted."""

    def __init__(self) -> None:
        self._transitions: defaultdict[int, Row] = defaultdict(dict)  # origin → streamer → [moves, first moves]
        self._shared: defaultdict[int, Row] = defaultdict(dict)  # streamer → other → [viewers]
        self._visitors: defaultdict[int, int] = defaultdict(int)
        self._totals: dict[int, list[int]] = {}  # streamer → [visits, first visits, visits of newcomers]

    def visit(self, before: Sequence[int], streamer: int) -> None:
        """Counts a visit to `streamer` by a viewer who visited `before`, oldest first, with repetitions."""
        first = streamer not in before
        if not streamer:
            return
        totals = self._totals.setdefault(streamer, [0, 0, 0])
        totals[0] += 1
        totals[1] += first
        totals[2] += not before
        if before and before[-1]:
            counts = self._transitions[before[-1]].setdefault(streamer, [0.0, 0.0])
            counts[0] += 1
            counts[1] += first
        if first:
            self._visitors[streamer] += 1
            for other in _known(before):
                for left, right in ((other, streamer), (streamer, other)):
                    self._shared[left].setdefault(right, [0.0])[0] += 1

    def columns(self, before: Sequence[int], rows_N: Sequence[int]) -> NDArray[np.float32]:
        """Features of N rooms as of now, float32 [N, 4], as `ViewerTransitions.columns` of these counts."""
        columns_N4 = np.zeros((len(rows_N), 4), np.float32)
        moves = self._transitions.get(before[-1], {}) if before else {}
        known = [(self._visitors[row] + 1, self._shared[row]) for row in _known(before) if row in self._shared]
        for place, row in enumerate(rows_N):
            if row in moves:
                columns_N4[place, :2] = moves[row]
            size = self._visitors.get(row, 0) + 1
            cosines = [shared[row][0] / math.sqrt(own * size) for own, shared in known if row in shared]
            if cosines:
                columns_N4[place, 2:] = sum(cosines) / len(known), max(cosines)
        columns_N4[:, :2] /= np.maximum(columns_N4[:, :2].sum(axis=0), 1.0)
        return columns_N4

    def totals(self, rows_N: Sequence[int]) -> NDArray[np.float32]:
        """Totals of N streamers as of now, float32 [N, 3], columns as config.TOTALS; zeros for row 0."""
        none = (0, 0, 0)
        totals_N3 = np.array([self._totals.get(row, none) for row in rows_N], np.float32).reshape(-1, 3)
        totals_N3[:, 1:] /= np.maximum(totals_N3[:, :1], 1.0)
        return totals_N3

    def export(self, num_rows: int) -> Transitions:
        """The tables of a version, as of now, for rows below num_rows."""
        moves = [self._transitions.get(row, {}) for row in range(num_rows)]
        cosines: list[dict[int, NDArray[np.float32]]] = [self._cosines(row) for row in range(num_rows)]
        return Transitions(sparse(moves, 2), sparse(cosines, 1), self.totals(range(num_rows)))

    def _cosines(self, row: int) -> dict[int, NDArray[np.float32]]:
        size, visitors = self._visitors[row] + 1, self._visitors
        return {
            other: np.array([count / math.sqrt(size * (visitors[other] + 1))], np.float32)
            for other, (count,) in self._shared.get(row, {}).items()
        }


def _known(before: Sequence[int]) -> list[int]:
    """The streamers visited last, each once, the newest first."""
    return [row for row in dict.fromkeys(reversed(before)) if row][:LONGEST_HABITS]
