"""Reads a ViewerProfile as the viewer's own columns. Never folds events, never looks at what others do."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from streaming.events import StreamerHabit, StreamerId, ViewerProfile
from training.features import Own, Viewer


class OwnPast:
    """One viewer, as of one profile, or a stranger. Made in up to 10 us, `own` of 200 rooms in 30."""

    __slots__ = ("_entered_ms", "_habits", "_profile", "origin")

    def __init__(self, profile: ViewerProfile | None) -> None:
        """profile: None for a stranger."""
        self._profile = profile
        self._habits: dict[StreamerId, StreamerHabit] = {}
        self.origin: StreamerId | None = None  # where they were last
        if profile is not None:
            self._habits = {habit.streamer: habit for habit in profile.habits if habit.visits}
            self.origin = profile.visits[-1].streamer if profile.visits else None
        self._entered_ms = sorted([habit.entered_at_ms for habit in self._habits.values()])

    @property
    def streamers(self) -> Sequence[StreamerId]:
        """Those visited, as far as remembered."""
        return tuple(self._habits)

    def own(self, streamers_N: Sequence[StreamerId], now_ms: int) -> Own:
        """The viewer's past with the streamers of N rooms."""
        own, habits = Own.empty(len(streamers_N)), self._habits
        for place, streamer in enumerate(streamers_N):
            habit = habits.get(streamer)
            if habit is None:
                continue
            entered_ms = habit.entered_at_ms
            own.visits_N[place] = habit.visits
            own.messages_N[place] = habit.chats
            own.silence_s_N[place] = (now_ms - habit.last_at_ms) / 1e3
            own.visit_age_s_N[place] = (now_ms - entered_ms) / 1e3 if entered_ms else np.nan
            own.span_s_N[place] = (entered_ms - habit.first_entered_at_ms) / 1e3 if entered_ms else np.nan
            own.recency_N[place] = len(self._entered_ms) - bisect_right(self._entered_ms, entered_ms)
            own.here_N[place] = streamer == self.origin
        return own

    def viewer(self, known_live: int, now_ms: int) -> Viewer:
        """What does not depend on a room. known_live: rooms live of the viewer's `streamers`."""
        profile = self._profile
        if profile is None:
            return STRANGER
        return Viewer(
            visits=profile.total_visits,
            repeats=profile.repeats,
            channels=len(self._habits),
            silence_s=(now_ms - profile.last_at_ms) / 1e3,
            known_s=(now_ms - profile.first_at_ms) / 1e3,
            known_live=known_live,
        )


STRANGER = Viewer(visits=0, repeats=0, channels=0, silence_s=0.0, known_s=0.0, known_live=0)
