"""What this replica knows of the rooms that viewers were shown: noted with each answer, and told to the others.

Never scores. The caller holds the tables' lock.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.settings import RecommendConfig
from actors.state.shown_queue import ShownQueue
from actors.state.shown_table import ShownTable
from actors.state.table_reader import Tables
from streaming.events import ViewerId

SEEN = 20  # rooms of an answer that count as shown: a page; what stands below is looked at by few


class ShownMemory:
    """Notes what is shown and forgets what is entered: in this replica at once, in the others when they read of it."""

    def __init__(self, tables: Tables, config: RecommendConfig, queue: ShownQueue | None) -> None:
        """queue: where the other replicas' news waits; None: there are no others."""
        self._tables = tables
        self._queue = queue
        half_life_ms = 1_000 * config.shown_half_life_s
        self.table = ShownTable(
            tables.rooms.id_hash_N, config.shown_cost, config.shown_most_cost, half_life_ms, config.shown_mb << 20
        )

    def meet(self, viewer: ViewerId, profile: bytes, now_ms: int) -> None:
        """Forgets what the viewer has entered since it was shown. Before the viewer's rooms are scored."""
        entered_V = self.table.meet(viewer, profile, self._tables.viewers.decode)
        if self._queue is not None and len(entered_V):
            self._queue.enter(viewer, entered_V, self._tables.rooms.lately.event_now_ms(now_ms))

    def note(self, viewer: ViewerId, slots: Sequence[int], now_ms: int) -> None:
        """Notes the rooms of an answer, in order."""
        if not slots:
            return
        slots_L = np.array(slots[:SEEN], np.int64)
        hash_L = self._tables.rooms.id_hash_N[slots_L].view(np.int64)
        at_ms = self._tables.rooms.lately.event_now_ms(now_ms)
        self.table.show(viewer, hash_L, at_ms)
        if self._queue is not None:
            self._queue.show(viewer, hash_L, at_ms)

    def forget(self, viewer: ViewerId) -> None:
        """Forgets a viewer."""
        self.table.forget(viewer)
        if self._queue is not None:
            self._queue.forget(viewer)
