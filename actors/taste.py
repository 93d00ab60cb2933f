"""Owns what a viewer likes, as read from the profile. Never looks at who else is where."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actors.projection import Projection
from actors.room_table import Card, EndedRoom, RoomTable
from streaming.events import RoomId, StreamerId, ViewerProfile, Visit

VISIT_HALF_LIFE_MS = 6 * 3_600_000  # of visits, back from the viewer's last: tonight's count more than yesterday's
BROAD_WEIGHT = 0.2  # of a visit under the label for everything: it says little of what the room was about
TOP_CATEGORIES = 3  # from each of these the best rooms become candidates
HABIT_HALF_LIFE_MS = 14 * 86_400_000  # a streamer who is on twice a week is not forgotten between


@dataclass(frozen=True, slots=True, eq=False)
class Taste:
    """What a viewer likes. A share is the square root of a label's part of the visits relative to the largest, (0, 1].

    The root, because a second taste with a third of the visits is half as good a reason, and not a third.
    """

    known: bool = True
    query_E: NDArray[np.float32] | None = None  # unit vector's projection; None where no recent room has a vector
    habits: tuple[tuple[StreamerId, float], ...] = ()  # streamer and strength of the habit in (0, 1)
    streamers: frozenset[StreamerId] = frozenset()  # of the habits
    categories: dict[str, float] = field(default_factory=dict)
    languages: dict[str, float] = field(default_factory=dict)
    top_categories: tuple[str, ...] = ()  # the largest first
    room: RoomId | None = None  # where the viewer is now
    anchor: str = ""  # the streamer of the room that the taste owes most to, for the reason


class _Sum:
    """Adds up what the visited rooms were about."""

    def __init__(self) -> None:
        self.categories: defaultdict[str, float] = defaultdict(float)
        self.languages: defaultdict[str, float] = defaultdict(float)
        self.slots: list[int] = []
        self.slot_weights: list[float] = []
        self.ended: list[tuple[NDArray[np.float16], float]] = []
        self.anchor, self.anchor_weight = "", 0.0

    def add(self, abouts: Sequence[Card | EndedRoom | None], weights: Sequence[float]) -> None:
        categories, languages = self.categories, self.languages
        for about, weight in zip(abouts, weights, strict=True):
            if about is None:
                continue
            state = about.state
            categories[state.category] += weight
            languages[state.language] += weight
            if weight > self.anchor_weight:
                self.anchor, self.anchor_weight = state.streamer, weight
            if isinstance(about, Card):
                self.slots.append(about.slot)
                self.slot_weights.append(weight)
            elif about.vector_D is not None:
                self.ended.append((about.vector_D, weight))

    def query(self, vectors_ND: NDArray[np.float16], projection: Projection | None) -> NDArray[np.float32] | None:
        if projection is None or not (self.slots or self.ended):
            return None
        rows_ND = vectors_ND[self.slots].astype(np.float32)
        if self.ended:
            rows_ND = np.concatenate([rows_ND, np.stack([vector_D for vector_D, _ in self.ended])], dtype=np.float32)
        weights_N = np.array(self.slot_weights + [weight for _, weight in self.ended], np.float32)
        seen_N = ~np.isnan(rows_ND[:, 0])
        mean_D = weights_N[seen_N] @ rows_ND[seen_N]
        length = math.sqrt(float(mean_D @ mean_D))
        return projection.project(mean_D / np.float32(length)) if length > 0 else None


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a profile says whatever the rooms are. habits_ms: when these were computed, for they fade."""

    weights: tuple[float, ...]  # of the visits: recent ones count more, and long ones somewhat
    habits: tuple[tuple[StreamerId, float], ...]
    streamers: frozenset[StreamerId]
    habits_ms: int


def reading_of(profile: ViewerProfile, now_ms: int) -> Reading:
    """Reads a profile."""
    last_ms = profile.last_at_ms
    weights = [_engagement(visit) * _decay(last_ms - visit.last_at_ms, VISIT_HALF_LIFE_MS) for visit in profile.visits]
    habits = [
        (
            habit.streamer,
            _strength(habit.visits, habit.followed) * _decay(now_ms - habit.last_at_ms, HABIT_HALF_LIFE_MS),
        )
        for habit in profile.habits
    ]
    return Reading(tuple(weights), tuple(habits), frozenset([streamer for streamer, _ in habits]), now_ms)


def taste_of(
    profile: ViewerProfile,
    rooms: RoomTable,
    now_ms: int,
    broad_category: str = "",
    *,
    reading: Reading | None = None,
    abouts: Sequence[Card | EndedRoom | None] | None = None,
    content: bool = True,
) -> Taste:
    """What the viewer likes, by what the visited rooms are about.

    broad_category: the label under which rooms are about anything. reading, abouts: of this profile and its visits,
    where whoever asks has them. content: whether the mean of the visited rooms' content is wanted; a viewer tower reads
    these by itself.
    """
    reading = reading or reading_of(profile, now_ms)
    total = _Sum()
    total.add(abouts or abouts_of(profile.visits, rooms), reading.weights)
    if broad_category in total.categories:
        total.categories[broad_category] *= BROAD_WEIGHT
    categories = _shares(total.categories)
    return Taste(
        query_E=total.query(rooms.vectors_ND, rooms.projection) if content else None,
        habits=reading.habits,
        streamers=reading.streamers,
        categories=categories,
        top_categories=tuple(sorted(categories, key=categories.__getitem__, reverse=True)[:TOP_CATEGORIES]),
        languages=_shares(total.languages),
        room=profile.room,
        anchor=total.anchor,
    )


def abouts_of(visits: Sequence[Visit], rooms: RoomTable) -> list[Card | EndedRoom | None]:
    """Of each visit the visited room, live or remembered, else the streamer's present room."""
    cards = rooms.cards
    return [cards.get(visit.room) or _about(visit, rooms) for visit in visits]


def _about(visit: Visit, rooms: RoomTable) -> Card | EndedRoom | None:
    about = rooms.ended.get(visit.room)
    if about is not None:
        return about
    for room in rooms.roster.of(visit.streamer) or ():
        return rooms.cards[room]
    return None


def _engagement(visit: Visit) -> float:
    """That the viewer chose the room counts most; having stayed for an hour or spoken nearly doubles it."""
    return 1 + 0.2 * math.log1p(visit.watch_ms / 60_000) + 0.06 * min(visit.chats + visit.likes + visit.gifts, 5)


def _decay(age_ms: int, half_life_ms: int) -> float:
    return float(0.5 ** (max(age_ms, 0) / half_life_ms))


def _strength(visits: int, followed: bool) -> float:
    """One visit is hardly a habit (a third), three are (0.6); following counts as a visit."""
    return (visits + followed) / (visits + followed + 2)


def _shares(weights: dict[str, float]) -> dict[str, float]:
    top = max(weights.values(), default=0)
    return {label: math.sqrt(weight / top) for label, weight in weights.items() if label} if top > 0 else {}
