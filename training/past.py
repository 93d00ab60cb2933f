"""Keeps what each viewer did before: visits, habits, where they are. Never knows what others do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.features import Own, Viewer
from training.visits import Kind

NOWHERE = -1


class Habit:
    """A viewer's past in one channel."""

    __slots__ = ("last_us", "last_visit_us", "messages", "since_us", "visits")

    def __init__(self, at_us: int) -> None:
        self.visits = 0
        self.messages = 0
        self.since_us = at_us
        self.last_us = at_us
        self.last_visit_us = at_us


class Past:
    """A viewer's past. `habits` run from the channel visited longest ago to the one visited last."""

    __slots__ = ("channel", "first_us", "habits", "last_us", "repeats", "visits")

    def __init__(self, at_us: int) -> None:
        self.habits: dict[int, Habit] = {}
        self.visits = 0
        self.repeats = 0
        self.channel = NOWHERE
        self.first_us = at_us
        self.last_us = at_us

    def apply(self, at_us: int, channel: int, kind: int) -> None:
        """One message of the viewer, later than those before."""
        habit = self.habits.get(channel)
        if habit is None:
            habit = self.habits[channel] = Habit(at_us)
        elif kind != Kind.NO_VISIT:
            self.habits[channel] = self.habits.pop(channel)  # the one visited last goes to the end
        if kind != Kind.NO_VISIT:
            habit.visits += 1
            habit.last_visit_us = at_us
            self.visits += 1
            self.repeats += kind == Kind.REPEAT
        habit.messages += 1
        habit.last_us = self.last_us = at_us
        self.channel = channel

    def viewer(self, at_us: int) -> Viewer:
        """What does not depend on a room."""
        return Viewer(
            visits=self.visits,
            repeats=self.repeats,
            channels=len(self.habits),
            silence_s=(at_us - self.last_us) / 1e6,
            known_s=(at_us - self.first_us) / 1e6,
        )

    def own(self, at_us: int, live_N: NDArray[np.intp], position_C: NDArray[np.intp]) -> Own:
        """The viewer's own past in each of the rooms. position_C: where a channel stands in live_N, -1 for nowhere."""
        own = Own.empty(len(live_N))
        last = len(self.habits) - 1
        for order, (channel, habit) in enumerate(self.habits.items()):
            place = position_C[channel]
            if place >= 0:
                own.visits_N[place] = habit.visits
                own.messages_N[place] = habit.messages
                own.silence_s_N[place] = (at_us - habit.last_us) / 1e6
                own.visit_age_s_N[place] = (at_us - habit.last_visit_us) / 1e6
                own.span_s_N[place] = (habit.last_visit_us - habit.since_us) / 1e6
                own.recency_N[place] = last - order
        if self.channel != NOWHERE and position_C[self.channel] >= 0:
            own.here_N[position_C[self.channel]] = 1.0
        return own
