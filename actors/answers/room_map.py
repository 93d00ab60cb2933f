"""Live rooms by content in two dimensions, with axes that the caller keeps. Never keeps a map but the latest."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.answers.schema import MAX_MAPPED, MapPoint, RoomMap
from actors.index.map_axes import axes_for, packed, unpacked
from actors.recommend.global_lists import largest
from actors.recommend.recommender import Recommender
from actors.requests.filters import Filters, Mature
from actors.spaces.content_space import RoomSnapshot
from actors.state.room_embeddings import ModelEmbeddings
from streaming.clock import Clock
from streaming.errors import RequestError

KEPT_MS = 1_000  # for which a map is given again
MOST_KEPT = 8  # maps of different wishes
PLACES = 5  # digits of a coordinate: a map is drawn with a thousand pixels


@dataclass(frozen=True, slots=True)
class _Seen:
    """Rooms as of one moment, the largest audience first. vectors_ND: content vectors, NaN rows where there is none."""

    at_ms: int
    snapshots: Sequence[RoomSnapshot]
    vectors_ND: NDArray[np.float32]
    codes: Sequence[int | None]
    live_rooms: int
    encoder: str  # whose vectors these are


class RoomMaps:
    """Maps of the live rooms. Touches no network; any thread may ask. Costs nothing while nobody does."""

    def __init__(self, recommender: Recommender, clock: Clock) -> None:
        self._recommender = recommender
        self._clock = clock
        self._drawing = threading.Lock()  # one map at a time: they are for people who look, and answers come first
        self._kept: OrderedDict[tuple[int, Mature | None, str, str], RoomMap] = OrderedDict()

    def draw(self, limit: int, mature: Mature | None, axes: str) -> RoomMap:
        """The largest rooms by content, as of at most KEPT_MS ago. Blocks for some milliseconds.

        axes: those of an earlier map, "" for none. The places are the same in every replica. Raises RequestError.
        """
        wish = (limit, mature, axes, self._recommender.tables.rooms.encoder)
        with self._drawing:
            now_ms, kept = self._clock.now_ms(), self._kept.get(wish)
            if kept is not None and 0 <= now_ms - kept.at_ms < KEPT_MS:
                return kept
            made = self._kept[wish] = _drawn(self._seen(mature), limit, axes)
            self._kept.move_to_end(wish)
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return made

    def _seen(self, mature: Mature | None) -> _Seen:
        """The largest rooms now."""
        recommender = self._recommender
        with recommender.tables.lock:
            rooms, candidates = recommender.tables.rooms, recommender.candidates
            now_ms = self._clock.now_ms()
            slots_N = candidates.filter.allowed(Filters(mature=mature), now_ms, candidates.filter.hidden((), ()))
            slots_N = slots_N[largest(rooms.audience_N[slots_N] + candidates.ties(slots_N), MAX_MAPPED)]
            vectors_ND = rooms.vectors_ND[slots_N] if rooms.dimension else np.zeros((len(slots_N), 0), np.float16)
            embeddings = rooms.embeddings
            codes: Sequence[int | None] = [None] * len(slots_N)
            if isinstance(embeddings, ModelEmbeddings) and embeddings.rooms.dynamic_NL.shape[1]:
                codes = embeddings.rooms.dynamic_NL[slots_N, 0].tolist()
            snapshots = [rooms.by_slot[slot] for slot in slots_N.tolist()]
            return _Seen(now_ms, snapshots, vectors_ND.astype(np.float32), codes, len(rooms), rooms.encoder)


def _drawn(seen: _Seen, limit: int, text: str) -> RoomMap:
    """The map of these rooms. Raises RequestError."""
    dimension = seen.vectors_ND.shape[1]
    try:
        axes_D2 = unpacked(text, dimension, seen.encoder) if text and dimension else None
    except ValueError as err:
        raise RequestError(str(err), field="axes", allowed="the `axes` of an earlier map, or none") from err
    if dimension < 2:  # no room was encoded yet
        return RoomMap(at_ms=seen.at_ms, live_rooms=seen.live_rooms, axes="", explained=0.0, rooms=[])
    has_N = ~np.isnan(seen.vectors_ND).any(axis=1)
    axes_D2, explained = axes_for(seen.vectors_ND[has_N], axes_D2)
    places_N2 = np.round((seen.vectors_ND @ axes_D2).astype(np.float64), PLACES)
    chosen = np.flatnonzero(has_N)[:limit]
    drifts = _drifts([seen.snapshots[at] for at in chosen])
    points = [
        _point(seen.snapshots[at], (x, y), drift, seen.codes[at])
        for at, (x, y), drift in zip(chosen, places_N2[chosen].tolist(), drifts, strict=True)
    ]
    return RoomMap(
        at_ms=seen.at_ms,
        live_rooms=seen.live_rooms,
        axes=packed(axes_D2, seen.encoder),
        explained=round(explained, 4),
        rooms=points,
    )


def _point(snapshot: RoomSnapshot, place: tuple[float, float], drift: float | None, code: int | None) -> MapPoint:
    state = snapshot.state
    return MapPoint(
        room=state.room,
        streamer=state.streamer,
        title=state.title,
        category=state.category,
        language=state.language,
        mature=state.mature,
        audience=snapshot.audience,
        x=place[0],
        y=place[1],
        drift=drift,
        code=code,
    )


def _drifts(snapshots: Sequence[RoomSnapshot]) -> list[float | None]:
    """How far each room's latest chat is from its slow mean: one minus their cosine; None where one is missing."""
    dimension = max((len(one.state.chat_vector) for one in snapshots), default=0)
    absent = bytes(dimension)
    states = [one.state for one in snapshots]
    fit = [len(s.chat_vector) == len(s.mean_vector) == dimension > 0 for s in states]
    now_ND, mean_ND = (
        np.frombuffer(b"".join(v if fits else absent for v, fits in zip(vectors, fit, strict=True)), "<f2")
        .astype(np.float32)
        .reshape(len(states), -1 if states and dimension else 0)
        for vectors in ([s.chat_vector for s in states], [s.mean_vector for s in states])
    )
    lengths_N = np.linalg.norm(now_ND, axis=1) * np.linalg.norm(mean_ND, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        drift_N = 1 - (now_ND * mean_ND).sum(axis=1) / lengths_N
    return [round(max(0.0, drift), 4) if np.isfinite(drift) else None for drift in drift_N.tolist()]
