"""(viewer, rooms, now) → features: the one implementation, online and offline. Never keeps state, never reads a clock.

What goes in are columns over the N rooms that are live, which whoever calls fills from what it knows: offline from
counters over a recording, a replica from RoomState (`recent`: 10-second buckets of entries and newcomers; messages,
chatters) and ViewerProfile (habits, visits). Everything is of the time strictly before the visit. What is not known is
NaN, not zero, so that a model can tell "never" from "just now".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import NDArray

SPANS_S = (10, 60, 300, 600)
MESSAGES, ENTRIES, FIRST_ENTRIES, NEWCOMERS = range(4)  # FIRST_: the viewer's first to this channel; NEWCOMERS: to any
NUM_COUNTS = 4
SILENT_S = 300.0  # a longer silence is capped: a room that silent is live only because somebody is entering it now
IN_ROOM_S = 1800.0  # who wrote less than half an hour ago is still in that room, and so cannot enter it

FEATURES: Mapping[str, str] = MappingProxyType(
    {
        # the crowd
        **{f"messages_{span_s}s": "messages" for span_s in SPANS_S},
        **{f"entries_{span_s}s": "visits that began" for span_s in SPANS_S},
        **{f"first_entries_{span_s}s": "visits by viewers who were never in the channel" for span_s in SPANS_S},
        **{f"newcomers_{span_s}s": "visits by viewers who were never anywhere" for span_s in SPANS_S},
        "chatters_300s": "distinct viewers who wrote",
        "room_age_s": "seconds since the first message after half an hour of silence",
        "room_silence_s": "seconds since the last message, at most 300",
        "total_visits": "all visits to the channel",
        "total_first_share": "of these, the share by viewers who were never there, 0 to 1",
        "total_newcomer_share": "of these, the share by viewers who were never anywhere, 0 to 1",
        "entries_share": "of the entries of the last minute to all rooms live, 0 to 1",
        "first_entries_share": "of the first entries of the last minute, 0 to 1",
        "newcomers_share": "of the newcomers of the last minute, 0 to 1",
        "messages_rank": "rooms with more messages in the last five minutes, divided by the rooms live",
        "entries_rank": "rooms with more entries in the last ten minutes, divided by the rooms live",
        "newcomers_rank": "rooms with more newcomers in the last minute, divided by the rooms live",
        "live_rooms": "rooms live",
        # the viewer's own past in the channel
        "own_visits": "visits",
        "own_share": "of all visits of the viewer, 0 to 1",
        "own_messages": "messages",
        "own_silence_s": "seconds since the viewer's last message there, NaN for never",
        "own_visit_age_s": "seconds since the viewer's last visit there began, NaN for never",
        "own_overdue": "the same, divided by the mean time between the viewer's visits there, NaN for less than two",
        "own_recency": "channels visited later than this one, NaN for never",
        "own_here": "1 where the viewer wrote last, 2 if that is less than half an hour ago, 0 elsewhere",
        # how viewers move
        "moves_share": "of the moves from the viewer's last channel, the share to this one, 0 to 1",
        "first_moves_share": "of those to a channel that was new to the mover, the share to this one, 0 to 1",
        "recent_moves": "moves from the viewer's last channel to this one, halved every 3.5 minutes",
        "covisits": "mean cosine of the channel's visitors with those of the channels the viewer knows",
        "best_covisit": "the highest such cosine",
        # the viewer
        "viewer_visits": "visits",
        "viewer_channels": "distinct channels visited",
        "viewer_repeat_share": "of the visits, those to a channel visited before, 0 to 1, NaN without visits",
        "viewer_silence_s": "seconds since the viewer's last message anywhere, NaN for never",
        "viewer_known_s": "seconds since the viewer's first message, NaN for never",
        "viewer_known_live": "channels the viewer knows among the rooms live",
        "hour": "of the day, UTC, 0 to 24",
    }
)
COLUMN: Mapping[str, int] = MappingProxyType({name: index for index, name in enumerate(FEATURES)})


class _Columns:
    @classmethod
    def empty(cls, num_rooms: int) -> Self:
        """Columns of zeros, [N] float64 each."""
        zeros_KN = np.zeros((len(fields(cls)), num_rooms))  # type: ignore[arg-type]
        return cls(*zeros_KN)


@dataclass(frozen=True, slots=True)
class Rooms:
    """The crowd's part, a column a live room. S spans (SPANS_S), K counts (MESSAGES...). Channels count for totals."""

    counts_SKN: NDArray[np.float32]
    totals_KN: NDArray[np.float32]
    chatters_N: NDArray[np.float32]
    age_s_N: NDArray[np.float64]
    silence_s_N: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Own(_Columns):
    """The viewer's own past in each room's channel; zeros where they never were."""

    visits_N: NDArray[np.float64]
    messages_N: NDArray[np.float64]
    silence_s_N: NDArray[np.float64]
    visit_age_s_N: NDArray[np.float64]
    span_s_N: NDArray[np.float64]  # from the first visit to the last
    recency_N: NDArray[np.float64]  # channels visited later
    here_N: NDArray[np.float64]  # 1 where the viewer wrote last


@dataclass(frozen=True, slots=True)
class Paths(_Columns):
    """How viewers moved before, from this viewer's last channel and from the channels this viewer knows."""

    moves_N: NDArray[np.float64]
    first_moves_N: NDArray[np.float64]
    recent_moves_N: NDArray[np.float64]
    covisits_N: NDArray[np.float64]
    best_covisit_N: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Viewer:
    """What of the viewer does not depend on a room."""

    visits: int
    repeats: int
    channels: int
    silence_s: float
    known_s: float


def features(rooms: Rooms, own: Own, paths: Paths, viewer: Viewer, now_us: int) -> NDArray[np.float32]:
    """[N, F] float32, F as in FEATURES: the one place where a feature is computed."""
    N = len(rooms.chatters_N)
    columns_FN = np.empty((len(FEATURES), N), np.float32)
    _crowd(columns_FN, rooms)
    _own_past(columns_FN[COLUMN["own_visits"] :], own, viewer)
    _moves(columns_FN[COLUMN["moves_share"] :], paths)
    known = viewer.visits > 0
    columns_FN[COLUMN["viewer_visits"] :] = np.array(
        [
            viewer.visits,
            viewer.channels,
            viewer.repeats / viewer.visits if known else np.nan,
            viewer.silence_s if known else np.nan,
            viewer.known_s if known else np.nan,
            np.count_nonzero(own.visits_N),
            now_us / 3.6e9 % 24,
        ]
    )[:, None]
    return np.ascontiguousarray(columns_FN.T)


def _crowd(columns_FN: NDArray[np.float32], rooms: Rooms) -> None:
    counts_SKN, N = rooms.counts_SKN, len(rooms.chatters_N)
    S = len(SPANS_S)
    columns_FN[: S * NUM_COUNTS] = counts_SKN.transpose(1, 0, 2).reshape(S * NUM_COUNTS, N)
    entered_N = np.maximum(rooms.totals_KN[ENTRIES], 1)
    minute_KN = counts_SKN[SPANS_S.index(60)]
    rest_FN = columns_FN[S * NUM_COUNTS :]
    rest_FN[0] = rooms.chatters_N
    rest_FN[1] = rooms.age_s_N
    rest_FN[2] = np.minimum(rooms.silence_s_N, SILENT_S)
    rest_FN[3] = rooms.totals_KN[ENTRIES]
    rest_FN[4] = rooms.totals_KN[FIRST_ENTRIES] / entered_N
    rest_FN[5] = rooms.totals_KN[NEWCOMERS] / entered_N
    rest_FN[6:9] = minute_KN[ENTRIES:] / np.maximum(minute_KN[ENTRIES:].sum(axis=1, keepdims=True), 1)
    rest_FN[9] = _rank(counts_SKN[SPANS_S.index(300), MESSAGES])
    rest_FN[10] = _rank(counts_SKN[SPANS_S.index(600), ENTRIES])
    rest_FN[11] = _rank(minute_KN[NEWCOMERS])
    rest_FN[12] = N


def _rank(values_N: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of rooms with more, so that equals are equal."""
    more_N = len(values_N) - np.searchsorted(np.sort(values_N), values_N, side="right")
    return more_N / len(values_N)


def _own_past(columns_FN: NDArray[np.float32], own: Own, viewer: Viewer) -> None:
    if not viewer.visits:
        columns_FN[:3], columns_FN[3:7], columns_FN[7] = 0.0, np.nan, 0.0
        return
    never_N = own.visits_N == 0
    columns_FN[0] = own.visits_N
    columns_FN[1] = own.visits_N / viewer.visits
    columns_FN[2] = own.messages_N
    columns_FN[3] = np.where(never_N, np.nan, own.silence_s_N)
    columns_FN[4] = np.where(never_N, np.nan, own.visit_age_s_N)
    mean_gap_s_N = own.span_s_N / np.maximum(own.visits_N - 1, 1)
    columns_FN[5] = np.where(own.visits_N < 2, np.nan, own.visit_age_s_N / np.maximum(mean_gap_s_N, 1.0))
    columns_FN[6] = np.where(never_N, np.nan, own.recency_N)
    columns_FN[7] = own.here_N * (2 if viewer.silence_s < IN_ROOM_S else 1)


def _moves(columns_FN: NDArray[np.float32], paths: Paths) -> None:
    columns_FN[0] = paths.moves_N / max(paths.moves_N.sum(), 1.0)
    columns_FN[1] = paths.first_moves_N / max(paths.first_moves_N.sum(), 1.0)
    columns_FN[2] = paths.recent_moves_N
    columns_FN[3] = paths.covisits_N
    columns_FN[4] = paths.best_covisit_N
