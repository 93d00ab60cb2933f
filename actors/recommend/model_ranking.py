"""The calls to a version's ranker: preparation of all rooms, and features of a request's candidates.

Never chooses candidates, never orders.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actors.recommend.viewer_cache import CachedViewer
from actors.state.room_embeddings import ModelEmbeddings
from actors.state.room_table import RoomTable
from training.features.features import RoomColumns, room_features, viewer_features_by_slot
from training.features.viewer_columns import ProfileReader
from training.inference.interface import RankedRooms, RequestCandidates, RoomsToExplain, ServedVersion, ServedViewer

Slots = NDArray[np.int64]
Floats = NDArray[np.float32]
SLICE = 1_024  # rooms read, or prepared, in one hold of the lock: some 0.2 ms
NOBODY = ProfileReader(None)


class _AsOf(NamedTuple):
    """The moment of the tables that something was computed from."""

    now_ms: int
    num_taken: int  # slots that new rooms had taken by then


@dataclass(slots=True)
class _Prepared:
    """A version's prepared part of ranking for all rooms, by slot."""

    embeddings: ModelEmbeddings
    rows_SH: Floats
    cold_start: ServedViewer
    as_of: _AsOf


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The result of a ranking, with the request that it answers."""

    model: ServedVersion
    viewer: ServedViewer
    offered: RequestCandidates
    rooms: RankedRooms

    def falls(self, rooms: RoomsToExplain) -> Floats:
        """Drops of the log odds of some of the rooms, float32 [K, C], causes as in training/inference/causes.py."""
        return self.model.log_odds_drops(self.viewer, self.offered, self.rooms, rooms)


class Ranking:
    """Ranks candidates by a version's model.

    The part that all viewers share is renewed by a thread of its own: it takes some 8 ms at 10,000 rooms, for which no
    request should wait. `rank` is called under the lock of the tables; `renew` takes it, in slices.
    """

    def __init__(self, rooms: RoomTable, lock: threading.RLock, stale_ms: int) -> None:
        """stale_ms: after so long without a renewal, a request renews."""
        self._rooms = rooms
        self._lock = lock
        self._stale_ms = stale_ms
        self._row_S = np.zeros(len(rooms.live_N), np.int64)  # scratch: the row of a slot's streamer in a viewer's past
        self._prepared: dict[str, _Prepared] = {}  # by version: the one in force and those beside it

    def renew(self, versions: Sequence[ModelEmbeddings], now_ms: int, pause_s: float = 0.0) -> None:
        """Prepares all rooms anew for these versions; forgets what was prepared long ago. Any thread.

        pause_s: between slices, for threads that wait.
        """
        for version, kept in list(self._prepared.items()):
            if not self._is_fresh(kept, now_ms):
                self._prepared.pop(version, None)
        if not versions:
            return
        lately = self._rooms.lately
        with self._lock:
            slots, event_now_ms = self._rooms.slots(), lately.event_now_ms(now_ms)
            as_of = _AsOf(now_ms, self._rooms.num_taken)
        slices = [slots[start : start + SLICE] for start in range(0, len(slots), SLICE)] or [slots]
        parts = []
        for some in slices:
            with self._lock:
                parts.append(lately.rooms(some, event_now_ms))
            _wait(pause_s)
        room_features_NC = room_features(_joined(parts))
        for embeddings in versions:
            self._prepare(embeddings, slices, room_features_NC, as_of, pause_s)

    def forget(self, slots_N: Slots) -> None:
        """Forgets what was prepared for rooms that had these slots before. The caller holds the lock."""
        for kept in list(self._prepared.values()):
            self._forget(kept.rows_SH, slots_N, kept.as_of)

    def _forget(self, rows_SH: Floats, slots_N: Slots, as_of: _AsOf) -> None:
        rows_SH[slots_N[self._rooms.taken_N[slots_N] > as_of.num_taken]] = 0

    def rank(self, embeddings: ModelEmbeddings, slots_N: Slots, cached: CachedViewer, now_ms: int) -> Ranked:
        """Ranks candidates, which are live rooms: the probabilities of entering, staying and interacting."""
        kept = self._prepared.get(embeddings.version)
        if kept is None or kept.embeddings is not embeddings or not self._is_fresh(kept, now_ms):
            self.renew([embeddings], now_ms)
            kept = self._prepared[embeddings.version]
        viewer = cached.viewer if cached.viewer is not None else kept.cold_start
        viewer_features_NP = self._personal(slots_N, cached, self._rooms.lately.event_now_ms(now_ms))
        offered = RequestCandidates(slots_N, embeddings.rooms, kept.rows_SH, viewer_features_NP)
        return Ranked(embeddings.model, viewer, offered, embeddings.model.rank(viewer, offered))

    def _is_fresh(self, kept: _Prepared, now_ms: int) -> bool:
        return 0 <= now_ms - kept.as_of.now_ms <= self._stale_ms  # a clock may be put back

    def _prepare(
        self,
        embeddings: ModelEmbeddings,
        slices: Sequence[Slots],
        room_features_NC: Floats,
        as_of: _AsOf,
        pause_s: float,
    ) -> None:
        kept = self._prepared.get(embeddings.version)
        if kept is not None and kept.embeddings is not embeddings:
            kept = None
        rows_SH = kept.rows_SH if kept is not None else None
        start = 0
        for some in slices:
            with self._lock:
                rooms = embeddings.rooms.take(some)
            rows_NH = embeddings.model.prepare(room_features_NC[start : start + len(some)], rooms)
            if rows_SH is None:
                rows_SH = np.zeros((embeddings.index.config.max_rooms, rows_NH.shape[1]), np.float32)
            with (
                self._lock if kept is not None else nullcontext()
            ):  # new pages take milliseconds, and nobody reads them
                rows_SH[some] = rows_NH
                self._forget(rows_SH, some, as_of)
            start += len(some)
            _wait(pause_s)
        if kept is None and rows_SH is not None:
            self._prepared[embeddings.version] = _Prepared(embeddings, rows_SH, embeddings.model.viewer(None), as_of)
        elif kept is not None:
            kept.as_of = as_of

    def _personal(self, slots_N: Slots, cached: CachedViewer, event_now_ms: int) -> Floats:
        """Viewer features of the candidates, float32 [N, P], columns as features.VIEWER_FEATURES.

        A viewer's past concerns few of them: only these are looked at.
        """
        past, lately = cached.past or NOBODY, self._rooms.lately
        return viewer_features_by_slot(
            slots_N,
            past.places(cached.visited.slots_V, cached.row_V, self._row_S, lately.origin(past.origin)),
            lately.came,
            past.viewer(cached.known_live, event_now_ms),
            event_now_ms,
        )


def _wait(pause_s: float) -> None:
    if pause_s:
        time.sleep(pause_s)


def _joined(parts: Sequence[RoomColumns]) -> RoomColumns:
    return RoomColumns(
        counts_SKN=np.concatenate([part.counts_SKN for part in parts], axis=2),
        broadcast_KN=np.concatenate([part.broadcast_KN for part in parts], axis=1),
        age_s_N=np.concatenate([part.age_s_N for part in parts]),
        silence_s_N=np.concatenate([part.silence_s_N for part in parts]),
    )
