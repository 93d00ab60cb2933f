"""Counts of each viewer's past: visits, habits, where they are. Never knows what others do."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from training.features.columns import ViewerColumns, ViewerRoomColumns
from training.features.visit_kinds import VisitKind

NOWHERE = -1


class Habit:
    """A viewer's past in one channel."""

    __slots__ = ("last_ms", "last_visit_ms", "messages", "since_ms", "visits")

    def __init__(self, at_ms: int) -> None:
        self.visits = 0
        self.messages = 0
        self.since_ms = at_ms  # time of the first visit
        self.last_ms = at_ms
        self.last_visit_ms = at_ms


class Past:
    """A viewer's past. `habits` run from the channel visited longest ago to the one visited last."""

    __slots__ = ("channel", "first_ms", "habits", "last_ms", "present", "repeats", "visits")

    def __init__(self, at_ms: int) -> None:
        self.habits: dict[int, Habit] = {}
        self.visits = 0
        self.repeats = 0
        self.channel = NOWHERE
        self.present = False  # in that channel, as far as is known
        self.first_ms = at_ms
        self.last_ms = at_ms

    def apply(self, at_ms: int, channel: int, kind: int) -> None:
        """Applies one message of the viewer, later than those before."""
        habit = self.habits.get(channel)
        if habit is None:
            habit = self.habits[channel] = Habit(at_ms)
        elif kind != VisitKind.NO_VISIT:
            self.habits[channel] = self.habits.pop(channel)  # the one visited last goes to the end
        if kind != VisitKind.NO_VISIT:
            habit.visits += 1
            habit.last_visit_ms = at_ms
            self.visits += 1
            self.repeats += kind == VisitKind.REPEAT
        habit.messages += 1
        habit.last_ms = self.last_ms = at_ms
        self.channel = channel
        self.present = True

    def viewer(self, at_ms: int, known_live: int) -> ViewerColumns:
        """The viewer features, which do not depend on a room. known_live: live rooms of channels visited."""
        return ViewerColumns(
            visits=self.visits,
            repeats=self.repeats,
            channels=len(self.habits),
            silence_s=(at_ms - self.last_ms) / 1e3,
            known_s=(at_ms - self.first_ms) / 1e3,
            known_live=known_live,
        )

    def own(self, at_ms: int, live_N: NDArray[np.intp], position_C: NDArray[np.intp]) -> ViewerRoomColumns:
        """The viewer's past in each of the rooms. position_C: a channel's position in live_N, -1 for none."""
        own = ViewerRoomColumns.empty(len(live_N))
        visited_ms = [habit.last_visit_ms for habit in self.habits.values()]  # ascending
        for channel, habit in self.habits.items():
            place = position_C[channel]
            if place >= 0:
                own.visits_N[place] = habit.visits
                own.messages_N[place] = habit.messages
                own.silence_s_N[place] = (at_ms - habit.last_ms) / 1e3
                own.visit_age_s_N[place] = (at_ms - habit.last_visit_ms) / 1e3
                own.span_s_N[place] = (habit.last_visit_ms - habit.since_ms) / 1e3
                own.recency_N[place] = len(visited_ms) - bisect_right(visited_ms, habit.last_visit_ms)
        if self.channel != NOWHERE and position_C[self.channel] >= 0:
            own.here_N[position_C[self.channel]] = 1.0
        return own
