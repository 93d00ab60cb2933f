"""The map as numbers to draw: groups with their colours, sizes, trails, and a frame that stays. Never draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from deploy.console.map_trails import Trail
from deploy.console.shown_text import NAME, shown
from tidecast_client import MapPoint, RoomMap

Kind = Literal["category", "language", "code"]

GROUPS = 9  # that have a colour of their own
OTHER = "other"
SMALLEST_PX, LARGEST_PX = 7.0, 38.0
LEAST_MOVE = 0.03  # of the map's unit: what is less is no move to look at
MOST_TRAILS = 25
LEAST_SIDE = 0.2  # by which a few rooms close together are padded: less would show how places are rounded
PAD = 0.06  # of the frame's side, beyond the outermost rooms
SHRINK = 0.7  # a frame that is filled by less than this is drawn anew


def group_of(point: MapPoint, kind: Kind) -> str:
    """What a room's colour says."""
    if kind == "code":
        return "no code" if point.code is None else f"code {point.code}"
    return shown(point.category if kind == "category" else point.language, NAME) or f"no {kind}"


class Colours:
    """Which group has which colour: the groups of most viewers, each for as long as it is there."""

    def __init__(self) -> None:
        self._slots: list[str] = [""] * GROUPS

    def update(self, points: Sequence[MapPoint], kind: Kind) -> Mapping[str, int]:
        """The colour's number of each group that has one."""
        viewers: Counter[str] = Counter()
        for point in points:
            viewers[group_of(point, kind)] += point.audience + 1
        self._slots = [name if name in viewers else "" for name in self._slots]
        waiting = (name for name, _ in viewers.most_common() if name not in self._slots)
        self._slots = [name or next(waiting, "") for name in self._slots]
        return {name: at for at, name in enumerate(self._slots) if name}


@dataclass(frozen=True, slots=True)
class Frame:
    """What part of the plane is seen."""

    left: float
    right: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """In the map's unit."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """In the map's unit."""
        return self.high - self.low


def framed(points: Sequence[MapPoint], before: Frame | None) -> Frame | None:
    """The frame of a map: the one before while rooms fill it, wider where one is outside. So nothing seems to move."""
    if not points:
        return before
    xs, ys = [point.x for point in points], [point.y for point in points]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    wide, tall = PAD * max(right - left, LEAST_SIDE), PAD * max(high - low, LEAST_SIDE)
    new = Frame(round(left - wide, 4), round(right + wide, 4), round(low - tall, 4), round(high + tall, 4))
    if before is None or new.width < SHRINK * before.width or new.height < SHRINK * before.height:
        return new
    return Frame(
        before.left if before.left <= left else new.left,
        before.right if right <= before.right else new.right,
        before.low if before.low <= low else new.low,
        before.high if high <= before.high else new.high,
    )


def sizes(points: Sequence[MapPoint]) -> list[float]:
    """The diameters of rooms in pixels: areas go by audience."""
    top = max((point.audience for point in points), default=0) or 1
    return [round(SMALLEST_PX + (LARGEST_PX - SMALLEST_PX) * sqrt(max(0, point.audience) / top), 1) for point in points]


@dataclass(frozen=True, slots=True)
class Spot:
    """A room to draw. colour: its group's number, -1 for the others. trail: its way, where it moved."""

    point: MapPoint
    group: str
    colour: int
    size_px: float
    trail: Trail | None


class Picture:
    """A map to draw, coloured by one kind of group. Keeps its frame and its colours from one map to the next."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.frame: Frame | None = None
        self.spots: Sequence[Spot] = ()
        self.groups: Sequence[tuple[str, int, int]] = ()  # name, colour, rooms; the most rooms first
        self.moved: Sequence[Spot] = ()  # those that moved most first
        self._colours = Colours()
        self._axes = ""

    def update(self, drawn: RoomMap, trails: Mapping[str, Trail]) -> None:
        """Takes a newer map."""
        if drawn.axes != self._axes:
            self._axes, self.frame = drawn.axes, None
        colours = self._colours.update(drawn.rooms, self.kind)
        self.frame = framed(drawn.rooms, self.frame)
        spots = []
        for point, size_px in zip(drawn.rooms, sizes(drawn.rooms), strict=True):
            group = group_of(point, self.kind)
            trail = trails.get(point.room)
            moved = trail if trail is not None and trail.moved >= LEAST_MOVE else None
            spots.append(Spot(point, group, colours.get(group, -1), size_px, moved))
        self.spots = spots
        self.moved = sorted(
            (spot for spot in spots if spot.trail is not None), key=lambda spot: -spot.trail.moved if spot.trail else 0
        )[:MOST_TRAILS]
        counts = Counter(spot.group if spot.colour >= 0 else OTHER for spot in spots)
        self.groups = [(name, colours.get(name, -1), rooms) for name, rooms in counts.most_common()]


def found(spots: Sequence[Spot], text: str) -> list[Spot]:
    """The rooms whose title, streamer, category or id has this text; none for no text."""
    wanted = text.casefold().strip()
    if not wanted:
        return []
    return [
        spot
        for spot in spots
        if any(
            wanted in said.casefold()
            for said in (spot.point.title, spot.point.streamer, spot.point.category, spot.point.room)
        )
    ]
