"""Where rooms of the map came from: their places of the last minute and a half. Never draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from types import MappingProxyType

from tidecast_client import RoomMap

KEPT_S = 90.0  # after it has left a place, a room's trail forgets it
STEP = 0.01  # of the map's unit: a smaller move adds no place
MOST_PLACES = 12  # of one trail


@dataclass(frozen=True, slots=True)
class Trail:
    """A room's way: the places that it has left, oldest first, and where it is. moved: from the first to the last."""

    places: tuple[tuple[float, float], ...]

    @property
    def moved(self) -> float:
        """How far it is from where the trail begins, in the map's unit."""
        return _apart(self.places[0], self.places[-1])


class MapTrails:
    """The trails of the rooms that are on the map."""

    def __init__(self) -> None:
        self._axes = ""
        self._left: dict[str, deque[tuple[float, float, float]]] = {}  # when it was left, x, y
        self._at: dict[str, tuple[float, float]] = {}
        self.trails: Mapping[str, Trail] = MappingProxyType({})  # by room, of those that moved

    def add(self, at_s: float, drawn: RoomMap) -> None:
        """Adds a map of a time of any clock that never runs backwards. Other axes begin anew: all places differ."""
        if drawn.axes != self._axes:
            self._axes, self._left, self._at = drawn.axes, {}, {}
        left, at = self._left, self._at
        self._at = {point.room: (point.x, point.y) for point in drawn.rooms}
        self._left = {}
        trails: dict[str, Trail] = {}
        for room, place in self._at.items():
            was, past = at.get(room), left.get(room) or deque(maxlen=MOST_PLACES)
            if was is not None and was != place and (not past or _apart(was, past[-1][1:]) >= STEP):
                past.append((at_s, *was))
            while past and past[0][0] < at_s - KEPT_S:
                past.popleft()
            if past:
                self._left[room] = past
                trails[room] = Trail((*((x, y) for _, x, y in past), place))
        self.trails = MappingProxyType(trails)


def _apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    return hypot(other[0] - one[0], other[1] - one[1])
