"""Input columns of the features that differ by viewer, one row per live room. Never computes a feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from training.features import feature_kernels


@dataclass(frozen=True, slots=True)
class ViewerRoomColumns:
    """Viewer-room columns: the viewer's past with each room's streamer, float64 [N]; zeros where there is none."""

    visits_N: NDArray[np.float64]
    messages_N: NDArray[np.float64]
    silence_s_N: NDArray[np.float64]
    visit_age_s_N: NDArray[np.float64]
    span_s_N: NDArray[np.float64]  # from the first visit to the last
    recency_N: NDArray[np.float64]  # streamers visited later
    here_N: NDArray[np.float64]  # 1 where the viewer was last


class NewestArrivals:
    """The newest A arrivals in each of R rooms, of viewers who were with another streamer last.

    came_ms_RA: when they came, int64. origin_RA: a number that stands for the streamer before, 0 for no arrival.
    """

    def __init__(self, num_rooms: int, num_arrivals: int) -> None:
        self.came_ms_RA = np.zeros((num_rooms, num_arrivals), np.int64)
        self.origin_RA = np.zeros((num_rooms, num_arrivals), np.int64)
        self.num_R = np.zeros(num_rooms, np.int64)

    def set(self, room: int, came_ms: Sequence[int], origins: Sequence[int]) -> None:
        """Replaces the arrivals of a room. came_ms and origins: one of each per arrival."""
        num = self.num_R[room] = len(came_ms)
        self.origin_RA[room, num:] = 0
        self.came_ms_RA[room, :num] = came_ms
        self.origin_RA[room, :num] = origins


@dataclass(frozen=True, slots=True)
class ArrivalColumns:
    """Counts of each room's newest arrivals that came from the streamer this viewer was with last, float64 [N]."""

    minute_N: NDArray[np.float64]
    ten_minutes_N: NDArray[np.float64]
    all_N: NDArray[np.float64]  # the newest arrivals, from any streamer

    @classmethod
    def count(
        cls,
        newest: NewestArrivals,
        rooms_N: NDArray[np.integer],
        origin: int,
        now_ms: int,
    ) -> Self:
        """Counts of the rooms `rooms_N`, rows of `newest`. origin: the streamer this viewer was with, 0 for none."""
        row_N = rooms_N.astype(np.int64, copy=False)
        arrived_3N = feature_kernels.arrival_columns(
            newest.came_ms_RA, newest.origin_RA, newest.num_R, row_N, origin, now_ms
        )
        return cls(*arrived_3N)


@dataclass(frozen=True, slots=True)
class ViewerColumns:
    """Figures of the viewer that do not depend on a room. known_live: live rooms of streamers they visited."""

    visits: int
    repeats: int
    channels: int
    silence_s: float
    known_s: float
    known_live: int


class HabitLookup(NamedTuple):
    """A lookup from room slots to a viewer's habits with the rooms' streamers.

    habits_V7: as in feature_kernels.viewer_room_columns.
    """

    habits_V7: NDArray[np.int64]
    known_V: NDArray[np.int64]  # slots of rooms whose streamers the viewer visited
    row_V: NDArray[np.int64]  # rows of those streamers in habits_V7, counted from 1
    row_S: NDArray[np.int64]  # scratch, zeros, one per slot
    origin: int  # as in `ArrivalColumns.count`
