"""Owns how a version's ranker is asked: its columns of all rooms, renewed with the pools, and of the candidates.

Never chooses candidates, never orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.alignment import ModelAlignment
from actors.room_table import RoomTable
from actors.tastes import Held
from streaming.events import StreamerId
from training.features import Own, crowd, served
from training.own import STRANGER
from training.serving import Offered, RankedRooms, ServedViewer

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]
LEAST = np.float32(1e-6)  # a probability nearer to 0 or 1 is one that float32 cannot tell from it


@dataclass(slots=True)
class _Prepared:
    """By slot, as of a renewal, for one alignment."""

    alignment: ModelAlignment
    prepared_NH: Floats
    stranger: ServedViewer | None = None


class Ranking:
    """Ranks candidates by a version's model. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable) -> None:
        self._rooms = rooms
        self._crowd_NC: Floats = np.zeros((len(rooms.live_N), 0), np.float32)  # by slot
        self._prepared: dict[str, _Prepared] = {}  # by version: of the one in force, and of the one beside it

    def renew(self, alignments: list[ModelAlignment], now_ms: int) -> None:
        """Computes the columns of all rooms anew, for the versions that rank."""
        self._prepared = {version: kept for version, kept in self._prepared.items() if kept.alignment in alignments}
        if not alignments:
            return
        slots = self._rooms.slots()
        crowd_NC = crowd(self._rooms.lately.rooms(slots, self._rooms.lately.event_now_ms(now_ms)))
        if not self._crowd_NC.shape[1]:
            self._crowd_NC = np.zeros((len(self._crowd_NC), crowd_NC.shape[1]), np.float32)
        self._crowd_NC[slots] = crowd_NC
        for alignment in alignments:
            self._prepare(alignment, slots, crowd_NC)

    def rank(
        self, alignment: ModelAlignment, slots_N: Slots, held: Held, dot_N: Floats | None, now_ms: int
    ) -> RankedRooms:
        """Probabilities of the candidates, live rooms. dot_N: the viewer's product with each room, by slot."""
        prepared_NH = self._prepared_for(alignment, now_ms)
        by_slot = self._rooms.by_slot
        streamers = [by_slot[slot].state.streamer for slot in slots_N.tolist()]
        viewer = held.viewer if held.viewer is not None else self._stranger(alignment)
        offered = Offered(
            streamers=streamers,
            rooms=alignment.rooms(slots_N),
            prepared_NH=prepared_NH[slots_N],
            features_NF=self._features(slots_N, streamers, held, self._rooms.lately.event_now_ms(now_ms)),
            dot_N=self._dot(alignment, slots_N, viewer) if dot_N is None else dot_N[slots_N],
        )
        return alignment.model.rank(viewer, offered)

    @staticmethod
    def _dot(alignment: ModelAlignment, slots_N: Slots, viewer: ServedViewer) -> Floats:
        dot_N: Floats = np.nan_to_num(alignment.index.vectors(slots_N) @ viewer.vector_E)
        return dot_N

    def _stranger(self, alignment: ModelAlignment) -> ServedViewer:
        kept = self._prepared[alignment.version]
        if kept.stranger is None:
            kept.stranger = alignment.model.viewer(None)
        return kept.stranger

    def _prepared_for(self, alignment: ModelAlignment, now_ms: int) -> Floats:
        kept = self._prepared.get(alignment.version)
        if kept is None or kept.alignment is not alignment:
            self.renew([*[kept.alignment for kept in self._prepared.values()], alignment], now_ms)
            kept = self._prepared[alignment.version]
        return kept.prepared_NH

    def _prepare(self, alignment: ModelAlignment, slots: Slots, crowd_NC: Floats) -> None:
        rows_NH = alignment.model.prepare(crowd_NC, alignment.rooms(slots))
        kept = self._prepared.get(alignment.version)
        if kept is None or kept.alignment is not alignment:
            kept = _Prepared(alignment, np.zeros((len(self._crowd_NC), rows_NH.shape[1]), np.float32))
            self._prepared[alignment.version] = kept
        kept.prepared_NH[slots] = rows_NH

    def _features(self, slots_N: Slots, streamers: Sequence[StreamerId], held: Held, event_now_ms: int) -> Floats:
        past = held.past
        if past is None:
            own, viewer, origin = Own.empty(len(slots_N)), STRANGER, None
        else:
            own = past.own(streamers, event_now_ms)
            viewer, origin = past.viewer(held.known_live, event_now_ms), past.origin
        arrivals = self._rooms.lately.arrivals(slots_N, origin, event_now_ms)
        return served(self._crowd_NC[slots_N], own, arrivals, viewer, event_now_ms)


def log_odds(probability_N: Floats) -> Floats:
    """What candidates are ordered by: costs of likeness are taken from it; a probability leaves no room for these."""
    sure_N = np.clip(probability_N, LEAST, 1 - LEAST)
    odds_N: Floats = np.log(sure_N / (1 - sure_N))
    return odds_N
