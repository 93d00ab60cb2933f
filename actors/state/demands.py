"""What a viewer's own rules mean for a request: rooms never shown, rooms lowered. Never chooses or orders rooms."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from actors.state.room_table import RoomTable
from streaming.events import RoomId, StreamerId, ViewerRule
from streaming.viewer.rules import RulesInForce

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]
CONTENT_SHARE = 0.2  # of the cost, for a room whose content is the same as that of a room of no interest
COMPARED = 16  # newest rooms of no interest whose content counts: each is one more product per candidate


class Demands:
    """Reads viewers' rules against the live rooms. The caller holds the tables' lock."""

    def __init__(self, rooms: RoomTable, half_life_ms: float, cost: float, *, shared_ids: bool) -> None:
        """half_life_ms: of a lack of interest. cost: what the room's streamer loses at first, in the score's unit.

        shared_ids: whether a viewer and a streamer of the same id are the same person.
        """
        self._rooms = rooms
        self._half_life_ms = half_life_ms
        self._cost = cost
        self._shared_ids = shared_ids

    def never(self, viewer: str, rules: RulesInForce) -> Iterable[RoomId]:
        """Rooms that the viewer is never shown: hidden ones, those of blocked streamers, and their own."""
        roster = self._rooms.roster
        yield from rules.hidden
        for streamer in rules.blocked:
            yield from roster.of(streamer) or ()
        if self._shared_ids:
            yield from roster.of(StreamerId(viewer)) or ()

    def costs(self, rules: RulesInForce, slots_K: Slots, now_ms: int) -> Floats | None:
        """What each of K rooms loses of its score because of a lack of interest, float32 [K]; None for nothing.

        now_ms: event time. A streamer's rooms lose the whole cost, others by how like the room of no interest they are.
        """
        if not rules.lowered or not len(slots_K):
            return None
        left = [self._left(rule, now_ms) for rule in rules.lowered]
        by_slot = {
            slot: share
            for rule, share in zip(rules.lowered, left, strict=True)
            for slot in (self._rooms.roster.of(StreamerId(rule.subject)) or {}).values()
        }
        of_streamer_K = np.array([by_slot.get(slot, 0.0) for slot in slots_K.tolist()], np.float32)
        alike_K = self._alike(rules.lowered[:COMPARED], left, slots_K)
        costs_K: Floats = np.float32(self._cost) * np.maximum(of_streamer_K, np.float32(CONTENT_SHARE) * alike_K)
        return costs_K

    def _left(self, rule: ViewerRule, now_ms: int) -> float:
        """The part of a lack of interest that is left by now."""
        return math.pow(0.5, max(0, now_ms - rule.at_ms) / self._half_life_ms)

    def _alike(self, rules: Iterable[ViewerRule], left: Iterable[float], slots_K: Slots) -> Floats:
        """How like a room of no interest each room is, from 0 to 1, faded; 0 where either has no vector."""
        vectors_ND = self._rooms.vectors_ND
        alike_K = np.zeros(len(slots_K), np.float32)
        candidates_KD: Floats | None = None
        for rule, share in zip(rules, left, strict=False):
            vector_D = self._content(RoomId(rule.room))
            if vector_D is None or vector_D.shape != vectors_ND.shape[1:]:
                continue
            if candidates_KD is None:
                candidates_KD = vectors_ND[slots_K].astype(np.float32)
            product_K = np.nan_to_num(candidates_KD @ vector_D.astype(np.float32))
            np.maximum(alike_K, np.float32(share) * product_K, out=alike_K)
        return np.minimum(alike_K, np.float32(1))

    def _content(self, room: RoomId) -> NDArray[np.float16] | None:
        snapshot = self._rooms.snapshots.get(room)
        if snapshot is not None:
            return self._rooms.vectors_ND[snapshot.slot] if self._rooms.dimension else None
        ended = self._rooms.ended.get(room)
        return None if ended is None else ended.vector_D
