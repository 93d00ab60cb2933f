"""Owns the columns that the features of a viewer are computed from, over the rooms live. Never computes a feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from training.features import feature_kernels


class _Columns:
    @classmethod
    def empty(cls, num_rooms: int) -> Self:
        """Columns of zeros, [N] float64 each."""
        zeros_KN = np.zeros((len(fields(cls)), num_rooms))  # type: ignore[arg-type]
        return cls(*zeros_KN)

    def put(self, places: NDArray[np.integer], columns: Self) -> None:
        """Overwrites some rooms'."""
        for column in fields(self):  # type: ignore[arg-type]
            getattr(self, column.name)[places] = getattr(columns, column.name)


@dataclass(frozen=True, slots=True)
class ViewerRoomColumns(_Columns):
    """The viewer's own past with each room's streamer; zeros where they never were."""

    visits_N: NDArray[np.float64]
    messages_N: NDArray[np.float64]
    silence_s_N: NDArray[np.float64]
    visit_age_s_N: NDArray[np.float64]
    span_s_N: NDArray[np.float64]  # from the first visit to the last
    recency_N: NDArray[np.float64]  # streamers visited later
    here_N: NDArray[np.float64]  # 1 where the viewer was last


class NewestArrivals:
    """The newest A who came to each of R rooms from another: when, and whence: a number, which is 0 for nobody."""

    def __init__(self, num_rooms: int, num_arrivals: int) -> None:
        self.came_ms_RA = np.zeros((num_rooms, num_arrivals), np.int64)
        self.origin_RA = np.zeros((num_rooms, num_arrivals), np.int64)
        self.num_R = np.zeros(num_rooms, np.int64)

    def set(self, room: int, came_ms: Sequence[int], origins: Sequence[int]) -> None:
        """Replaces those of a room."""
        num = self.num_R[room] = len(came_ms)
        self.origin_RA[room, num:] = 0
        self.came_ms_RA[room, :num] = came_ms
        self.origin_RA[room, :num] = origins


@dataclass(frozen=True, slots=True)
class ArrivalColumns(_Columns):
    """How many of the newest who came to each room from another came from where this viewer was last."""

    minute_N: NDArray[np.float64]
    ten_minutes_N: NDArray[np.float64]
    all_N: NDArray[np.float64]  # the newest, from anywhere

    @classmethod
    def count(
        cls,
        newest: NewestArrivals,
        rooms_N: NDArray[np.integer],
        origin: int,
        now_ms: int,
    ) -> Self:
        """Of the rooms `rooms_N`, rows of `newest`. origin: where this viewer was, 0 for nowhere."""
        row_N = rooms_N.astype(np.int64, copy=False)
        arrived_3N = feature_kernels.arrival_columns(
            newest.came_ms_RA, newest.origin_RA, newest.num_R, row_N, origin, now_ms
        )
        return cls(*arrived_3N)


@dataclass(frozen=True, slots=True)
class ViewerColumns:
    """What of the viewer does not depend on a room. known_live: rooms live of streamers that they visited."""

    visits: int
    repeats: int
    channels: int
    silence_s: float
    known_s: float
    known_live: int


class HabitLookup(NamedTuple):
    """Where in a viewer's past the streamers of rooms are. habits_V7: as feature_kernels.own_past has it."""

    habits_V7: NDArray[np.int64]
    known_V: NDArray[np.int64]  # slots of rooms whose streamers the viewer visited
    row_V: NDArray[np.int64]  # and where these are in habits_V7, counted from 1
    row_S: NDArray[np.int64]  # scratch, zeros, a slot each
    origin: int  # as `Arrivals.count` has it


@dataclass(frozen=True, slots=True)
class TransitionColumns(_Columns):
    """How viewers moved before, from this viewer's last channel and from the channels this viewer knows: not online."""

    moves_N: NDArray[np.float64]
    first_moves_N: NDArray[np.float64]
    recent_moves_N: NDArray[np.float64]
    covisits_N: NDArray[np.float64]
    best_covisit_N: NDArray[np.float64]
