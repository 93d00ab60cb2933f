"""Outcomes of visits: how long viewers stayed and what they did. Never looks at earlier visits."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.events import ViewerEvent

UNKNOWN_S = float("nan")
ACTS = frozenset(("chat", "like", "gift", "follow"))


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Outcomes of V examples.

    stay_s: until the viewer left or entered another room, NaN where it is unknown. heard_s: until the last sign of
    life in the visit, at most stay_s. acts: chats, likes, gifts and follows, not counting one that revealed the visit.
    """

    stay_s_V: NDArray[np.float32]
    heard_s_V: NDArray[np.float32]
    acts_V: NDArray[np.int32]


class _Stay:
    __slots__ = ("acts", "example", "last_ms", "room", "started_ms")

    def __init__(self, example: int, room: str, at_ms: int) -> None:
        self.example = example
        self.room = room
        self.started_ms = self.last_ms = at_ms
        self.acts = 0


class OutcomeTracker:
    """A tracker of open visits that follows every viewer's events, in their order."""

    def __init__(self, gap_ms: int, *, known_by_act: bool) -> None:
        """gap_ms: a viewer without a sign of life for so long has left, at an unknown time.

        known_by_act: visits are derived from chat, so that the first message of a visit reveals it.
        """
        self._gap_ms = gap_ms
        self._known_by_act = known_by_act
        self._open: dict[str, _Stay] = {}
        self._stay_s, self._heard_s, self._acts = array("f"), array("f"), array("l")

    def begin(self, event: ViewerEvent, example: int | None) -> None:
        """Begins a visit to the room of the event. example: its number, None where the visit is no example."""
        self._close(event.viewer, event.at_ms)
        stay = _Stay(-1 if example is None else example, event.room, event.at_ms)
        stay.acts = int(event.action in ACTS) - self._known_by_act
        self._open[event.viewer] = stay
        if example is not None:
            self._stay_s.append(UNKNOWN_S)
            self._heard_s.append(0.0)
            self._acts.append(stay.acts)

    def follow(self, event: ViewerEvent) -> None:
        """Applies any other event of the viewer."""
        stay = self._open.get(event.viewer)
        if stay is None or stay.room != event.room:
            return
        if event.at_ms - stay.last_ms >= self._gap_ms:
            del self._open[event.viewer]
            return
        if event.action == "leave":
            self._close(event.viewer, event.at_ms)
            return
        stay.last_ms = max(stay.last_ms, event.at_ms)
        stay.acts += event.action in ACTS
        if stay.example >= 0:
            self._heard_s[stay.example] = (stay.last_ms - stay.started_ms) / 1e3
            self._acts[stay.example] = stay.acts

    def _close(self, viewer: str, at_ms: int) -> None:
        stay = self._open.pop(viewer, None)
        if stay is not None and stay.example >= 0 and at_ms - stay.last_ms < self._gap_ms:
            self._stay_s[stay.example] = max(0, at_ms - stay.started_ms) / 1e3

    def part(self) -> None:
        """Forgets the open visits: what is known of their outcomes stays, and nothing is added to it."""
        self._open.clear()

    def outcomes(self) -> Outcomes:
        """The outcomes so far."""
        acts_V = np.maximum(np.array(self._acts, np.int32), 0)
        return Outcomes(np.array(self._stay_s, np.float32), np.array(self._heard_s, np.float32), acts_V)
