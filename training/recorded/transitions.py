"""Transitions and visits between a recording's channels, counted over all of its visits. Never looks ahead."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from training.examples.candidate_batches import COUNTED
from training.examples.co_visit_counts import TransitionCounts
from training.features.visit_kinds import VisitKind
from training.model.config import LEARNED
from training.recorded.chat import Chat


class RecordedTransitions:
    """Running counts over a recording's visits, also those that are no example."""

    def __init__(self, chat: Chat, kind_M: NDArray[np.int8], row_C: NDArray[np.int32]) -> None:
        """row_C: the row by which each channel is counted; 0 is not counted."""
        visits = np.flatnonzero(kind_M != VisitKind.NO_VISIT)
        self._at_ms = (chat.at_us_M[visits] // 1_000).tolist()
        self._viewer = chat.viewer_M[visits].tolist()
        self._row = row_C[chat.channel_M[visits]].tolist()
        self._passed = 0
        self._before: defaultdict[int, list[int]] = defaultdict(list)  # a viewer's visits, oldest first
        self.counts = TransitionCounts()

    def count_until(self, at_ms: int) -> None:
        """Counts the visits before a time that were not counted yet."""
        while self._passed < len(self._at_ms) and self._at_ms[self._passed] < at_ms:
            row, before = self._row[self._passed], self._before[self._viewer[self._passed]]
            self.counts.visit(before, row)
            before.append(row)
            self._passed += 1

    def columns(
        self,
        at_ms_V: NDArray[np.int64],
        viewer_V: NDArray[np.integer],
        size_V: NDArray[np.int32],
        row_R: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Features of the next V visits' rooms, float32 [R, M], columns as COUNTED. viewer_V: as in the chat."""
        columns_RM = np.zeros((len(row_R), len(COUNTED)), np.float32)
        rows, end_V = row_R.tolist(), np.cumsum(size_V)
        ends = zip(at_ms_V.tolist(), viewer_V.tolist(), (end_V - size_V).tolist(), end_V.tolist(), strict=True)
        for at_ms, viewer, start, end in ends:
            self.count_until(at_ms)
            before, there = self._before.get(viewer), rows[start:end]
            if before:
                columns_RM[start:end, : len(LEARNED)] = self.counts.columns(before, there)
            columns_RM[start:end, len(LEARNED) :] = self.counts.totals(there)
        return columns_RM


def transitions_of_training(chat: Chat, kind_M: NDArray[np.int8], row_C: NDArray[np.int32]) -> TransitionCounts:
    """The counts at the end of the training part. row_C: as for `RecordedTransitions`."""
    passing = RecordedTransitions(chat, np.where(np.arange(len(kind_M)) < chat.num_train, kind_M, -1), row_C)
    passing.count_until(2**62)
    return passing.counts
