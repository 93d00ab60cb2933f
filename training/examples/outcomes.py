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
    seen_s: until the room's end, or that of the log where the room outlived it: for so long leaving could be seen. Less
    than 0 where the room was over already.
    """

    stay_s_V: NDArray[np.float32]
    heard_s_V: NDArray[np.float32]
    acts_V: NDArray[np.int32]
    seen_s_V: NDArray[np.float32]


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
        self._started_ms, self._seen_s = array("q"), array("f")
        self._in_room: dict[str, list[int]] = {}  # examples by room, while it is not known to have ended
        self._head_ms = 0

    def begin(self, event: ViewerEvent, example: int | None) -> None:
        """Begins a visit to the room of the event. example: its number, None where the visit is no example."""
        self._close(event.viewer, event.at_ms)
        stay = _Stay(-1 if example is None else example, event.room, event.at_ms)
        stay.acts = int(event.action in ACTS) - self._known_by_act
        self._open[event.viewer] = stay
        self._head_ms = max(self._head_ms, event.at_ms)
        if example is not None:
            self._stay_s.append(UNKNOWN_S)
            self._heard_s.append(0.0)
            self._acts.append(stay.acts)
            self._started_ms.append(event.at_ms)
            self._seen_s.append(UNKNOWN_S)
            self._in_room.setdefault(event.room, []).append(example)

    def follow(self, event: ViewerEvent) -> None:
        """Applies any other event of the viewer."""
        self._head_ms = max(self._head_ms, event.at_ms)
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

    def end_room(self, room: str, at_ms: int) -> None:
        """Ends a room: whoever entered it could not be seen leaving after that."""
        for example in self._in_room.pop(room, ()):
            self._seen_s[example] = (at_ms - self._started_ms[example]) / 1e3

    def part(self) -> None:
        """Forgets the open visits: what is known of their outcomes stays, and nothing is added to it."""
        self._open.clear()
        for room in list(self._in_room):
            self.end_room(room, self._head_ms)

    def outcomes(self) -> Outcomes:
        """The outcomes so far."""
        acts_V = np.maximum(np.array(self._acts, np.int32), 0)
        seen_s_V = np.array(self._seen_s, np.float32)
        until_end_s_V = (self._head_ms - np.array(self._started_ms, np.int64)) / 1e3
        return Outcomes(
            stay_s_V=np.array(self._stay_s, np.float32),
            heard_s_V=np.array(self._heard_s, np.float32),
            acts_V=acts_V,
            seen_s_V=np.where(np.isnan(seen_s_V), until_end_s_V, seen_s_V).astype(np.float32),
        )
