"""Feature columns read from a ViewerProfile. Never aggregates events, never looks at other viewers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.events import StreamerId, ViewerProfile
from training.features import feature_kernels
from training.features.columns import HabitLookup, ViewerColumns, ViewerRoomColumns


class ProfileReader:
    """A reader of one viewer's profile that gives feature columns; a cold-start viewer has no profile."""

    __slots__ = ("_habits_V7", "_profile", "_row", "origin")

    def __init__(self, profile: ViewerProfile | None) -> None:
        """profile: None for a cold-start viewer."""
        self._profile = profile
        self.origin: StreamerId | None = None  # where they were last
        habits = () if profile is None else [habit for habit in profile.habits if habit.visits]
        if profile is not None and profile.visits:
            self.origin = profile.visits[-1].streamer
        self._row = {habit.streamer: row for row, habit in enumerate(habits, start=1)}
        entered_ms = sorted([habit.entered_at_ms for habit in habits])
        columns = [
            (
                habit.visits,
                habit.chats,
                habit.last_at_ms,
                habit.entered_at_ms,
                habit.first_entered_at_ms,
                len(entered_ms) - bisect_right(entered_ms, habit.entered_at_ms),
                habit.streamer == self.origin,
            )
            for habit in habits
        ]
        self._habits_V7 = np.array(columns, np.int64).reshape(-1, 7)

    @property
    def streamers(self) -> Sequence[StreamerId]:
        """The streamers visited, as far as the profile remembers them."""
        return tuple(self._row)

    def rows(self, streamers_N: Sequence[StreamerId]) -> NDArray[np.int64]:
        """Rows of N streamers for `viewer_room`, int64 [N], counted from 1; 0 for one never visited."""
        row = self._row
        return np.array([row.get(streamer, 0) for streamer in streamers_N], np.int64)

    def places(
        self, known_V: NDArray[np.int64], row_V: NDArray[np.int64], row_S: NDArray[np.int64], origin: int
    ) -> HabitLookup:
        """The lookup for `features.viewer_features_by_slot`; parameters as in `HabitLookup`."""
        return HabitLookup(self._habits_V7, known_V, row_V, row_S, origin)

    def viewer_room(self, row_N: NDArray[np.int64], now_ms: int) -> ViewerRoomColumns:
        """Viewer-room columns of N rooms, by the `rows` of their streamers."""
        return ViewerRoomColumns(*feature_kernels.viewer_room_columns(self._habits_V7, row_N, now_ms))

    def viewer(self, known_live: int, now_ms: int) -> ViewerColumns:
        """Figures of the viewer that do not depend on a room. known_live: live rooms of their `streamers`."""
        profile = self._profile
        if profile is None or not profile.total_events:  # with rules alone nothing is known of a viewer
            return COLD_START_VIEWER
        return ViewerColumns(
            visits=profile.total_visits,
            repeats=profile.repeats,
            channels=len(self._row),
            silence_s=(now_ms - profile.last_at_ms) / 1e3,
            known_s=(now_ms - profile.first_at_ms) / 1e3,
            known_live=known_live,
        )


COLD_START_VIEWER = ViewerColumns(visits=0, repeats=0, channels=0, silence_s=0.0, known_s=0.0, known_live=0)
