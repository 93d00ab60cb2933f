"""Simulated viewers who go where lists lead them, and say so: events with `request_id` and `position`. Never asks.

The viewers of `audience.py` move by the ground truth, whatever anybody recommends. A guest is in no room until they
have looked at a list. They read it from the top and enter the first room that they like, if they get that far: the
cascade model of Craswell et al., An Experimental Comparison of Click Position-Bias Models, WSDM 2008. Guests differ in
how easily they like a room, so what one of them enters says something of their next list: impressions of a viewer are
not independent.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from streaming.events import ViewerEvent

LIKES, LIKES_SPREAD = 0.12, 4.0  # Beta distribution over guests: of the rooms read, those they enter
READS_ON = 0.85  # probability of reading the next room of a list
VISIT_S = 20.0  # mean
LOOKS_EVERY_S = 6.0  # mean, while in no room
FOLLOWS = 0.1  # of the visits, those with a follow
WATCH_EVERY_S = 10.0
PREFIX = "guest-"


@dataclass(frozen=True, slots=True)
class ListedRoom:
    """A room of a list, as a page has it."""

    room: str
    streamer: str


@dataclass(slots=True, eq=False)
class _Guest:
    name: str
    likes: float
    room: ListedRoom | None = None


@dataclass(order=True, slots=True)
class _Due:
    at_ms: int
    number: int
    guest: _Guest = field(compare=False)
    event: ViewerEvent | None = field(compare=False)  # None: the guest looks at a list


class Guests:
    """Guests by name, each in one room or nowhere. The same seed and lists make the same events."""

    def __init__(
        self,
        count: int,
        start_ms: int,
        seed: int = 1,
        gain: Callable[[str], float] = lambda _viewer: 1.0,
        appeal: Callable[[str], float] = lambda _room: 1.0,
    ) -> None:
        """gain: how many times as easily a guest likes a room, by the guest's name: what an experiment is to find.

        appeal: how many times as easily anybody likes a room, by the room's id: what a rule can bring forward.
        """
        self._appeal = appeal
        self._rng = np.random.default_rng((seed, 3))
        likes = self._rng.beta(LIKES * LIKES_SPREAD, (1 - LIKES) * LIKES_SPREAD, count)
        self._due: list[_Due] = []
        self._number = 0
        self._looking: list[_Guest] = []
        for number, like in enumerate(likes.tolist()):
            guest = _Guest(name := f"{PREFIX}{number:05d}", min(1.0, like * gain(name)))
            self._put(start_ms + self._wait_ms(LOOKS_EVERY_S), guest, None)

    def until(self, now_ms: int) -> list[ViewerEvent]:
        """What guests have done by now, in order of time. Those who look at a list are in `looking` then."""
        events = []
        while self._due and self._due[0].at_ms <= now_ms:
            due = heapq.heappop(self._due)
            if due.event is None:
                self._looking.append(due.guest)
                continue
            events.append(due.event)
            if due.event.action == "leave":
                due.guest.room = None
                self._put(due.at_ms + self._wait_ms(LOOKS_EVERY_S), due.guest, None)
        return events

    def looking(self) -> str | None:
        """A guest who looks at a list now; give it to `see`. None: nobody does."""
        return self._looking[0].name if self._looking else None

    def see(self, request_id: str, rooms: Sequence[ListedRoom], now_ms: int) -> None:
        """Shows a list to the guest who was looking. request_id: of the answer. What comes of it is in `until`."""
        guest = self._looking.pop(0)
        for position, listed in enumerate(rooms, start=1):
            if self._rng.random() < guest.likes * self._appeal(listed.room):
                self._visit(guest, listed, request_id, position, now_ms)
                return
            if self._rng.random() >= READS_ON:
                break
        self._put(now_ms + self._wait_ms(LOOKS_EVERY_S), guest, None)

    def _visit(self, guest: _Guest, listed: ListedRoom, request_id: str, position: int, now_ms: int) -> None:
        """Plans a visit: enter, watch now and then, perhaps follow, leave."""
        guest.room = listed
        enter_ms = now_ms + self._wait_ms(1.0)
        leave_ms = enter_ms + self._wait_ms(VISIT_S)

        def event(action: str, at_ms: int, **fields: object) -> None:
            values = {"viewer": guest.name, "room": listed.room, "streamer": listed.streamer, "at_ms": at_ms}
            self._put(at_ms, guest, ViewerEvent(**values, action=action, **fields))  # type: ignore[arg-type]

        event("enter", enter_ms, request_id=request_id, position=position)
        every_ms = int(1_000 * WATCH_EVERY_S)
        for at_ms in range(enter_ms + every_ms, leave_ms, every_ms):
            event("watch", at_ms, seconds=WATCH_EVERY_S)
        if self._rng.random() < FOLLOWS:
            event("follow", (enter_ms + leave_ms) // 2, request_id=request_id, position=position)
        event("leave", leave_ms)

    def _put(self, at_ms: int, guest: _Guest, event: ViewerEvent | None) -> None:
        self._number += 1
        heapq.heappush(self._due, _Due(at_ms, self._number, guest, event))

    def _wait_ms(self, mean_s: float) -> int:
        return 1 + int(1_000 * self._rng.exponential(mean_s))
