"""Compiled kernels of the features that differ by viewer: the one implementation, online and offline.

Only features.py, columns.py and viewer_columns.py call them. Each value is computed in one order whatever the number
of rooms, so that both sides are equal to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from training.features.compiling import FLOATS, INTEGERS, INTEGERS_2D, kernel

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

MINUTE_MS, TEN_MINUTES_MS = 60_000, 600_000
VIEWER_ROOM, ARRIVALS, VIEWER = 8, 3, 7  # columns of each kind, as in features.VIEWER_FEATURES
UNKNOWN = np.float32(np.nan)


@kernel(exact=True)
def viewer_room_columns(habits_V7: Integers, row_N: Integers, now_ms: int) -> Doubles:
    """The columns of columns.ViewerRoomColumns, float64 [7, N].

    habits_V7: visits, messages, last heard of, last entered, first entered (ms, 0 for unknown), recency, here.
    row_N: the row of each room's streamer in habits_V7, counted from 1; 0 for none. now_ms: the time to look from.
    """
    own_7N = np.zeros((7, len(row_N)))
    for n in range(len(row_N)):
        if row_N[n] == 0:
            continue
        visits, messages, last_ms, entered_ms, first_ms, recency, here = habits_V7[row_N[n] - 1]
        own_7N[0, n], own_7N[1, n] = visits, messages
        own_7N[2, n] = (now_ms - last_ms) / 1e3
        own_7N[3, n] = (now_ms - entered_ms) / 1e3 if entered_ms else np.nan
        own_7N[4, n] = (entered_ms - first_ms) / 1e3 if entered_ms else np.nan
        own_7N[5, n], own_7N[6, n] = recency, here
    return own_7N


@kernel(exact=True)
def arrival_columns(
    came_ms_RA: Integers, origin_RA: Integers, num_R: Integers, room_N: Integers, origin: int, now_ms: int
) -> Doubles:
    """The columns of columns.ArrivalColumns, float64 [3, N]. room_N: rows of R; origin: 0 for no streamer."""
    arrived_3N = np.zeros((3, len(room_N)))
    for n in range(len(room_N)):
        room = room_N[n]
        arrived_3N[2, n] = num_R[room]
        if origin == 0:
            continue
        minute, ten_minutes = 0, 0
        for place in range(num_R[room]):
            if origin_RA[room, place] == origin:
                minute += came_ms_RA[room, place] > now_ms - MINUTE_MS
                ten_minutes += came_ms_RA[room, place] > now_ms - TEN_MINUTES_MS
        arrived_3N[0, n], arrived_3N[1, n] = minute, ten_minutes
    return arrived_3N


@kernel(exact=True)
def viewer_feature_rows(
    visits_N: Doubles,
    messages_N: Doubles,
    silence_s_N: Doubles,
    visit_age_s_N: Doubles,
    span_s_N: Doubles,
    recency_N: Doubles,
    here_N: Doubles,
    minute_N: Doubles,
    ten_minutes_N: Doubles,
    all_N: Doubles,
    viewer_7: Floats,
    total_visits: int,
    here: int,
) -> Floats:
    """Viewer features of N rooms, float32 [N, P], columns as features.VIEWER_FEATURES.

    viewer_7: the last seven columns. here: the value of own_here in the room where the viewer was last.
    """
    columns_NP = np.empty((len(visits_N), VIEWER_ROOM + ARRIVALS + VIEWER), np.float32)
    for n in range(len(visits_N)):
        row_P = columns_NP[n]
        row_P[:VIEWER_ROOM] = np.float32(0)
        row_P[3:7] = UNKNOWN
        if total_visits:
            visits = visits_N[n]
            row_P[0], row_P[1], row_P[2], row_P[7] = visits, visits / total_visits, messages_N[n], here_N[n] * here
            if visits:
                row_P[3], row_P[4], row_P[6] = silence_s_N[n], visit_age_s_N[n], recency_N[n]
            if visits > 1:
                mean_gap_s = span_s_N[n] / (visits - 1)
                row_P[5] = visit_age_s_N[n] / (1.0 if mean_gap_s < 1.0 else mean_gap_s)
        row_P[8], row_P[9] = minute_N[n], ten_minutes_N[n]
        row_P[10] = ten_minutes_N[n] / max(all_N[n], 1.0)
        row_P[11:] = viewer_7
    return columns_NP


@kernel(exact=True)
def viewer_feature_rows_by_slot(
    slots_N: Integers,
    known_V: Integers,
    row_V: Integers,
    row_S: Integers,
    habits_V7: Integers,
    came_ms_SA: Integers,
    origin_SA: Integers,
    num_S: Integers,
    origin: int,
    viewer_7: Floats,
    total_visits: int,
    here: int,
    now_ms: int,
) -> Floats:
    """Viewer features of rooms by slots of S, float32 [N, P]: the three kernels above at once, for each request.

    known_V: slots of streamers visited, with row_V of habits_V7, counted from 1. row_S: zeros, and zeros again after.
    """
    row_N = np.zeros(len(slots_N), np.int64)
    for v in range(len(known_V)):
        row_S[known_V[v]] = row_V[v]
    for n in range(len(slots_N)):
        row_N[n] = row_S[slots_N[n]]
    for v in range(len(known_V)):
        row_S[known_V[v]] = 0
    o = viewer_room_columns(habits_V7, row_N, now_ms)
    a = arrival_columns(came_ms_SA, origin_SA, num_S, slots_N, origin, now_ms)
    return viewer_feature_rows(o[0], o[1], o[2], o[3], o[4], o[5], o[6], a[0], a[1], a[2], viewer_7, total_visits, here)


def signatures() -> dict[Any, Any]:
    """The kernels that Python calls, with the types of their arguments, for `compiling.load`."""
    doubles, whole = types.float64[::1], types.int64
    newest = (INTEGERS_2D, INTEGERS_2D, INTEGERS)
    return {
        viewer_feature_rows_by_slot: (*[INTEGERS] * 4, INTEGERS_2D, *newest, whole, FLOATS, *[whole] * 3),
        viewer_room_columns: (INTEGERS_2D, INTEGERS, whole),
        arrival_columns: (*newest, INTEGERS, whole, whole),
        viewer_feature_rows: (*[doubles] * 10, FLOATS, whole, whole),
    }
