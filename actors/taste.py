"""Owns what a viewer likes, as read from the profile. Never looks at which rooms are live beyond their content."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actors.content import content_vectors
from actors.room_table import RoomTable
from streaming.events import RoomId, RoomState, ViewerProfile, Visit

VISIT_HALF_LIFE_MS = 6 * 3_600_000  # what was watched yesterday still counts, but less than what is watched tonight
HABIT_HALF_LIFE_MS = 14 * 86_400_000  # a streamer who is on twice a week is not forgotten between


@dataclass(frozen=True, slots=True, eq=False)
class Taste:
    """What a viewer likes. Shares are relative to the largest, so that each lies in (0, 1]."""

    vector_D: NDArray[np.float32] | None  # unit length; None where no recent room has a vector
    habits: dict[str, float]  # strength of the habit in (0, 1)
    categories: dict[str, float]
    languages: dict[str, float]
    room: RoomId | None  # where the viewer is now
    anchor: str  # the streamer of the room that the vector owes most to, for the reason


STRANGER = Taste(None, {}, {}, {}, None, "")


def taste_of(profile: ViewerProfile, rooms: RoomTable, now_ms: int) -> Taste:
    """Reads a profile: dwell-weighted, recent visits count more. `rooms`: for what the visited rooms are about."""
    categories: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    known: list[tuple[RoomState, float]] = []
    for visit in profile.visits:
        state = _about(visit, rooms)
        if state is not None:
            weight = _engagement(visit) * _decay(now_ms - visit.last_at_ms, VISIT_HALF_LIFE_MS)
            known.append((state, weight))
            categories[state.category] += weight  # type: ignore[assignment]
            languages[state.language] += weight  # type: ignore[assignment]
    habits: dict[str, float] = {
        habit.streamer: _strength(habit.visits, habit.followed) * _decay(now_ms - habit.last_at_ms, HABIT_HALF_LIFE_MS)
        for habit in profile.habits
    }
    anchor = max(known, key=lambda pair: pair[1])[0].streamer if known else ""
    vector_D = _mean_vector(known, rooms.index.dimension, rooms.title_weight)
    return Taste(vector_D, habits, _shares(categories), _shares(languages), profile.room, anchor)


def _about(visit: Visit, rooms: RoomTable) -> RoomState | None:
    """The visited room's state, live or remembered, else that of the streamer's present room."""
    card = rooms.cards.get(visit.room)
    if card is not None:
        return card.state
    ended = rooms.ended.get(visit.room)
    if ended is not None:
        return ended
    for room in rooms.by_streamer.get(visit.streamer, ()):
        return rooms.cards[room].state
    return None


def _engagement(visit: Visit) -> float:
    """A glance counts a little, an hour much, but not sixty times a minute."""
    return 0.2 + math.log1p(visit.watch_ms / 60_000) + 0.3 * min(visit.chats + visit.likes + visit.gifts, 5)


def _decay(age_ms: int, half_life_ms: int) -> float:
    return float(0.5 ** (max(age_ms, 0) / half_life_ms))


def _strength(visits: int, followed: bool) -> float:
    return (visits + followed) / (visits + followed + 1)


def _shares(weights: Counter[str]) -> dict[str, float]:
    top = max(weights.values(), default=0)
    return {label: weight / top for label, weight in weights.items() if label} if top > 0 else {}


def _mean_vector(
    known: list[tuple[RoomState, float]], dimension: int, title_weight: float
) -> NDArray[np.float32] | None:
    if not known or not dimension:
        return None
    vectors_ND = content_vectors([state for state, _ in known], dimension, title_weight)
    weight_N1 = np.array([[weight] for _, weight in known], np.float32)
    mean_D = np.nansum(vectors_ND * weight_N1, axis=0)
    length = float(np.linalg.norm(mean_D))
    return mean_D / np.float32(length) if length > 0 else None
