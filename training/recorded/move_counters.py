"""Counts of transitions between channels, and of viewers that channels share. Never knows who a viewer is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.features.columns import TransitionColumns
from training.features.visit_sequence import LONGEST_HABITS

RECENT_S = 300.0  # a raid moves a crowd within a minute or two; five minutes still show where it went


class MovesBetween:
    """The transitions and co-visits of C channels: a row of C counts for each channel that somebody left."""

    def __init__(self, num_channels: int) -> None:
        self._num_channels = num_channels
        self._moves: dict[int, NDArray[np.float32]] = {}
        self._first_moves: dict[int, NDArray[np.float32]] = {}
        self._recent: dict[int, NDArray[np.float64]] = {}
        self._recent_ms: dict[int, int] = {}
        self._shared: dict[int, NDArray[np.float32]] = {}
        self._visitors_C = np.zeros(num_channels, np.float32)

    def move(self, at_ms: int, origin: int, channel: int, first: bool) -> None:
        """Counts a transition from `origin` to `channel`. first: the viewer was never there before."""
        self._row(self._moves, origin)[channel] += 1
        if first:
            self._row(self._first_moves, origin)[channel] += 1
        row_C = self._recent.get(origin)
        if row_C is None:
            row_C = self._recent[origin] = np.zeros(self._num_channels, np.float64)
        else:
            row_C *= math.exp((self._recent_ms[origin] - at_ms) / (RECENT_S * 1e3))
        row_C[channel] += 1
        self._recent_ms[origin] = at_ms

    def meet(self, channel: int, others: Sequence[int]) -> None:
        """Counts a first visit to `channel` by a viewer who knows `others`."""
        self._visitors_C[channel] += 1
        for other in others[-LONGEST_HABITS:]:
            self._row(self._shared, other)[channel] += 1
            self._row(self._shared, channel)[other] += 1

    def paths(self, at_ms: int, origin: int, known: Sequence[int], live_N: NDArray[np.intp]) -> TransitionColumns:
        """Transition features of the rooms `live_N`, from `origin` (-1: nowhere) and from the channels known."""
        paths = TransitionColumns.empty(len(live_N))
        if origin in self._moves:
            row_C = self._moves[origin]
            paths.moves_N[:] = row_C[live_N]
            decay = math.exp((self._recent_ms[origin] - at_ms) / (RECENT_S * 1e3))
            paths.recent_moves_N[:] = self._recent[origin][live_N] * decay
        if origin in self._first_moves:
            paths.first_moves_N[:] = self._first_moves[origin][live_N]
        known = [channel for channel in known[-LONGEST_HABITS:] if channel in self._shared]
        if known:
            shared_HN = np.stack([self._shared[channel][live_N] for channel in known])
            size_HN = np.sqrt(np.outer(self._visitors_C[known] + 1, self._visitors_C[live_N] + 1))
            cosine_HN = shared_HN / size_HN
            paths.covisits_N[:] = cosine_HN.mean(axis=0)
            paths.best_covisit_N[:] = cosine_HN.max(axis=0)
        return paths

    def _row(self, rows: dict[int, NDArray[np.float32]], channel: int) -> NDArray[np.float32]:
        row_C = rows.get(channel)
        if row_C is None:
            row_C = rows[channel] = np.zeros(self._num_channels, np.float32)
        return row_C
