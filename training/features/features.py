"""Features of (viewer, rooms, now): the one implementation, online and offline. Never keeps state or reads a clock.

Its inputs are columns over the N live rooms, which the caller fills: replicas and examples from RoomState
(`room_columns.py`) and ViewerProfile (`viewer_columns.py`). Everything is of the time strictly before the visit. An
unknown value is NaN, not zero, so that a model can tell "never" from "just now".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from training.features import feature_kernels
from training.features.columns import (
    ArrivalColumns,
    HabitLookup,
    NewestArrivals,
    ViewerColumns,
    ViewerRoomColumns,
)

SPANS_S = (10, 60, 300, 600)
MESSAGES, ENTRIES, FIRST_ENTRIES, NEWCOMERS = range(4)  # FIRST_: the viewer's first to this streamer; NEWCOMERS: to any
NUM_COUNTS = 4
LEFT = 4  # beside these, of the whole broadcast alone: visits that are over, by a leave or by the viewer's next visit
SILENT_S = 300.0  # a longer silence is capped: a room that silent is live only because somebody is entering it now
UNSEEN = -1.0  # ranks behind every audience that is known
IN_ROOM_S = 1800.0  # who wrote less than half an hour ago is still in that room, and so cannot enter it

_ROOM: Mapping[str, str] = {
    **{f"messages_{span_s}s": "messages" for span_s in SPANS_S},
    **{f"entries_{span_s}s": "visits that began" for span_s in SPANS_S},
    **{f"first_entries_{span_s}s": "visits by viewers who were never with the streamer" for span_s in SPANS_S},
    **{f"newcomers_{span_s}s": "visits by viewers who were never anywhere" for span_s in SPANS_S},
    "room_age_s": "seconds since the broadcast began; on chat alone, with the first message after half an hour of none",
    "room_silence_s": "seconds since the last message, at most 300",
    "room_visits": "visits in this broadcast",
    "room_first_share": "of these, the share by viewers who were never with the streamer, 0 to 1",
    "room_newcomer_share": "of these, the share by viewers who were never anywhere, 0 to 1",
    "audience": "viewers there now: visits that are not over, NaN as long as none of the broadcast was seen to end",
    "entries_share": "of the entries of the last minute to all rooms live, 0 to 1",
    "first_entries_share": "of the first entries of the last minute, 0 to 1",
    "newcomers_share": "of the newcomers of the last minute, 0 to 1",
    "messages_rank": "rooms with more messages in the last five minutes, divided by the rooms live",
    "entries_rank": "rooms with more entries in the last ten minutes, divided by the rooms live",
    "newcomers_rank": "rooms with more newcomers in the last minute, divided by the rooms live",
    "audience_rank": "rooms with a larger audience, divided by the rooms live, NaN where it is not known",
    "live_rooms": "rooms live",
}
_VIEWER_ROOM: Mapping[str, str] = {
    "own_visits": "visits to the streamer",
    "own_share": "of all visits of the viewer, 0 to 1",
    "own_messages": "messages",
    "own_silence_s": "seconds since the viewer was last heard of there, NaN for never",
    "own_visit_age_s": "seconds since the viewer's last visit there began, NaN for never",
    "own_overdue": "the same, divided by the mean time between the viewer's visits there, NaN for less than two",
    "own_recency": "streamers visited later than this one, NaN for never",
    "own_here": "1 where the viewer was last, 2 if heard of less than half an hour ago, 0 elsewhere",
}
_ARRIVALS: Mapping[str, str] = {
    "arrivals_60s": "of the newest 32 who were last elsewhere, those of the last minute from where the viewer was",
    "arrivals_600s": "the same of the last ten minutes",
    "arrivals_share": "the same, divided by the number of those newest",
}
_VIEWER: Mapping[str, str] = {
    "viewer_visits": "visits",
    "viewer_channels": "streamers remembered",
    "viewer_repeat_share": "of the visits, those to a streamer visited before, 0 to 1, NaN without visits",
    "viewer_silence_s": "seconds since the viewer was last heard of anywhere, NaN for never",
    "viewer_known_s": "seconds since the viewer was first heard of, NaN for never",
    "viewer_known_live": "rooms live of streamers that the viewer visited",
    "hour": "of the day, UTC, 0 to 24",
}
_COUNTED: Mapping[str, str] = {
    "total_visits": "all visits to the streamer",
    "total_first_share": "of these, the share by viewers who were never there, 0 to 1",
    "total_newcomer_share": "of these, the share by viewers who were never anywhere, 0 to 1",
    "moves_share": "of the moves from the viewer's last channel, the share to this one, 0 to 1",
    "first_moves_share": "of those to a channel that was new to the mover, the share to this one, 0 to 1",
    "covisits": "mean cosine of the channel's visitors with those of the channels the viewer knows",
    "best_covisit": "the highest such cosine",
}
ROOM_FEATURES: tuple[str, ...] = tuple(_ROOM)  # the same for every viewer
VIEWER_FEATURES: tuple[str, ...] = (*_VIEWER_ROOM, *_ARRIVALS, *_VIEWER)  # another for every viewer
SERVED: tuple[str, ...] = (*ROOM_FEATURES, *VIEWER_FEATURES)  # what a replica can fill
FEATURES: Mapping[str, str] = MappingProxyType({**_ROOM, **_VIEWER_ROOM, **_ARRIVALS, **_VIEWER, **_COUNTED})
COLUMN: Mapping[str, int] = MappingProxyType({name: index for index, name in enumerate(FEATURES)})


@dataclass(frozen=True, slots=True)
class RoomColumns:
    """Input columns of the room features, one per live room. S spans (SPANS_S), K counts (MESSAGES...)."""

    counts_SKN: NDArray[np.float32]
    broadcast_KN: NDArray[np.float32]  # of the whole broadcast so far; then LEFT
    age_s_N: NDArray[np.float64]
    silence_s_N: NDArray[np.float64]


def room_features(rooms: RoomColumns) -> NDArray[np.float32]:
    """Room features, float32 [N, C], columns as ROOM_FEATURES. rooms: all live rooms, for shares and ranks."""
    counts_SKN, N, S = rooms.counts_SKN, len(rooms.age_s_N), len(SPANS_S)
    columns_CN = np.empty((len(ROOM_FEATURES), N), np.float32)
    columns_CN[: S * NUM_COUNTS] = counts_SKN.transpose(1, 0, 2).reshape(S * NUM_COUNTS, N)
    entered_N = np.maximum(rooms.broadcast_KN[ENTRIES], 1)
    minute_KN = counts_SKN[SPANS_S.index(60)]
    rest_CN = columns_CN[S * NUM_COUNTS :]
    rest_CN[0] = rooms.age_s_N
    rest_CN[1] = np.minimum(rooms.silence_s_N, SILENT_S)
    rest_CN[2] = rooms.broadcast_KN[ENTRIES]
    rest_CN[3] = rooms.broadcast_KN[FIRST_ENTRIES] / entered_N
    rest_CN[4] = rooms.broadcast_KN[NEWCOMERS] / entered_N
    rest_CN[5] = audience_N = _audience(rooms.broadcast_KN)
    total_K1 = minute_KN[ENTRIES:].sum(axis=1, keepdims=True, dtype=np.float64)  # in any order of rooms the same
    rest_CN[6:9] = minute_KN[ENTRIES:] / np.maximum(total_K1, 1)
    busy_KN = counts_SKN[SPANS_S.index(300), MESSAGES], counts_SKN[SPANS_S.index(600), ENTRIES], minute_KN[NEWCOMERS]
    unseen_N = np.isnan(audience_N)
    for row, busy_N in enumerate((*busy_KN, np.where(unseen_N, np.float32(UNSEEN), audience_N)), start=9):
        rest_CN[row] = _rank(busy_N)
    rest_CN[12][unseen_N] = np.nan
    rest_CN[13] = N
    return np.ascontiguousarray(columns_CN.T)


def served(
    room_features_NC: NDArray[np.float32],
    viewer_room: ViewerRoomColumns,
    arrivals: ArrivalColumns,
    viewer: ViewerColumns,
    now_ms: int,
) -> NDArray[np.float32]:
    """All features that a replica computes, float32 [N, F], columns as SERVED.

    room_features_NC: rows of `room_features`, of all live rooms or of the candidates among them.
    """
    N, C = room_features_NC.shape
    features_NF = np.empty((N, len(SERVED)), np.float32)
    features_NF[:, :C] = room_features_NC
    features_NF[:, C:] = viewer_features(viewer_room, arrivals, viewer, now_ms)
    return features_NF


def viewer_features(
    viewer_room: ViewerRoomColumns, arrivals: ArrivalColumns, viewer: ViewerColumns, now_ms: int
) -> NDArray[np.float32]:
    """Viewer features, float32 [N, P], columns as VIEWER_FEATURES: the part of `served` that differs by viewer."""
    viewer_7 = _of_viewer(viewer, now_ms)
    features_NP: NDArray[np.float32] = feature_kernels.viewer_feature_rows(
        viewer_room.visits_N,
        viewer_room.messages_N,
        viewer_room.silence_s_N,
        viewer_room.visit_age_s_N,
        viewer_room.span_s_N,
        viewer_room.recency_N,
        viewer_room.here_N,
        arrivals.minute_N,
        arrivals.ten_minutes_N,
        arrivals.all_N,
        viewer_7,
        viewer.visits,
        _here(viewer),
    )
    return features_NP


def viewer_features_by_slot(
    slots_N: NDArray[np.int64], places: HabitLookup, newest: NewestArrivals, viewer: ViewerColumns, now_ms: int
) -> NDArray[np.float32]:
    """Viewer features of rooms by slot, float32 [N, P].

    Equal to `viewer_features` to the bit, in a third of the time.
    """
    features_NP: NDArray[np.float32] = feature_kernels.viewer_feature_rows_by_slot(
        slots_N,
        places.known_V,
        places.row_V,
        places.row_S,
        places.habits_V7,
        newest.came_ms_RA,
        newest.origin_RA,
        newest.num_R,
        places.origin,
        _of_viewer(viewer, now_ms),
        viewer.visits,
        _here(viewer),
        now_ms,
    )
    return features_NP


def _of_viewer(viewer: ViewerColumns, now_ms: int) -> NDArray[np.float32]:
    """The features that depend on the viewer alone, float32 [7], columns as _VIEWER."""
    known = viewer.visits > 0
    return np.array(
        (
            viewer.visits,
            viewer.channels,
            viewer.repeats / viewer.visits if known else np.nan,
            viewer.silence_s if known else np.nan,
            viewer.known_s if known else np.nan,
            viewer.known_live,
            now_ms / 3.6e6 % 24,
        ),
        np.float32,
    )


def _here(viewer: ViewerColumns) -> int:
    """The value of own_here in the room where the viewer was last."""
    return 2 if viewer.silence_s < IN_ROOM_S else 1


def _audience(broadcast_KN: NDArray[np.float32]) -> NDArray[np.float32]:
    """The audiences [N], NaN where no visit was seen to end: entries alone give who came, not who is there."""
    audience_N: NDArray[np.float32] = np.maximum(broadcast_KN[ENTRIES] - broadcast_KN[LEFT], 0)
    audience_N[broadcast_KN[LEFT] == 0] = np.nan
    return audience_N


def _rank(values_N: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of rooms with a larger value [N], so that equal values have equal ranks."""
    N = len(values_N)
    order_N = np.argsort(values_N)
    sorted_N = values_N[order_N]
    share_N = np.empty(N)
    share_N[order_N] = (N - np.searchsorted(sorted_N, sorted_N, side="right")) / max(N, 1)
    return share_N
