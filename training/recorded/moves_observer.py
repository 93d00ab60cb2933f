"""An observer that counts transitions between streamers up to a message, as a version may know them. Never ranks."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from training.examples.co_visit_counts import TransitionCounts
from training.features.visit_kinds import VisitKind


class MovesObserver:
    """An Observer (training/recorded/replay_state.py) that stops counting after `until` messages."""

    def __init__(self, until: int) -> None:
        self._left = until
        self._visits: list[tuple[int, int]] = []  # viewer and channel

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """Applies one message, in time order."""
        self._left -= 1
        if self._left >= 0 and kind != VisitKind.NO_VISIT:
            self._visits.append((viewer, channel))

    def counts(self, row_C: NDArray[np.int32]) -> TransitionCounts:
        """The transitions of the visits so far. row_C: the streamer's row of each channel."""
        counts, before = TransitionCounts(), defaultdict[int, list[int]](list)
        row = row_C.tolist()
        for viewer, channel in self._visits:
            visited = before[viewer]
            counts.visit(visited, row[channel])
            visited.append(row[channel])
        return counts
