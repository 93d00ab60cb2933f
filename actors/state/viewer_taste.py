"""The interest profile: what a viewer likes, as read from their profile. Never looks at other viewers."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actors.index.projection import Projection
from actors.spaces.content_space import EndedRoom, RoomSnapshot
from actors.state.room_table import RoomTable
from streaming.events import RoomId, StreamerId, ViewerProfile, Visit
from streaming.viewer.profile_config import ProfileConfig
from streaming.viewer.rules import NO_RULES, RulesInForce, in_force
from training.baseline import BROAD_WEIGHT, FORGETTING, PER_LOG_MINUTE, PER_SIGN, VISIT_HALF_LIFE_S
from training.content.spelling import category_key, language_key

VISIT_HALF_LIFE_MS = 1_000 * VISIT_HALF_LIFE_S
TOP_CATEGORIES = 3  # categories whose best rooms become candidates
PRESENCE_MS = 1_000 * ProfileConfig().presence_timeout_s  # unless the caller gives another
DAY_MS = 86_400_000
MOST_LIKENED = 8  # visited streamers that a reason may name as similar; 1 KB a viewer

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Likened:
    """The content of a viewer's visits, summed by streamer, for those that count most. Vectors as in the index."""

    streamers: tuple[str, ...]
    sums_AE: NDArray[np.float16]

    def nearest(self, vectors_KE: Floats) -> list[str]:
        """Per room the streamer whose visited rooms bring it nearest to the viewer; "" where none does."""
        if not self.streamers or vectors_KE.shape[1] != self.sums_AE.shape[1]:
            return [""] * len(vectors_KE)
        nearness_KA = vectors_KE @ self.sums_AE.astype(np.float32).T
        best_K = nearness_KA.argmax(axis=1)
        is_near_K = nearness_KA[np.arange(len(best_K)), best_K] > 0
        return [
            self.streamers[best] if is_near else ""
            for best, is_near in zip(best_K.tolist(), is_near_K.tolist(), strict=True)
        ]


NOBODY = Likened((), np.zeros((0, 0), np.float16))


def likened(streamers: Sequence[str], weights_V: Floats, vectors_VE: Floats) -> Likened:
    """Sums the content of V visits by streamer. Rows of NaN count for nothing."""
    seen_V = ~np.isnan(vectors_VE[:, 0]) if vectors_VE.size else np.zeros(len(streamers), np.bool_)
    total: dict[str, float] = {}
    for streamer, weight, seen in zip(streamers, weights_V.tolist(), seen_V.tolist(), strict=True):
        if seen:
            total[streamer] = total.get(streamer, 0.0) + weight
    strongest = sorted(total, key=total.__getitem__, reverse=True)[:MOST_LIKENED]
    if not strongest:
        return NOBODY
    part_AV = np.zeros((len(strongest), len(streamers)), np.float32)
    place = {streamer: a for a, streamer in enumerate(strongest)}
    for v, streamer in enumerate(streamers):
        if seen_V[v] and streamer in place:
            part_AV[place[streamer], v] = weights_V[v]
    sums_AE = part_AV[:, seen_V] @ vectors_VE[seen_V]
    longest = float(np.abs(sums_AE).max(initial=0)) or 1.0
    return Likened(tuple(strongest), (sums_AE / np.float32(longest)).astype(np.float16))


@dataclass(frozen=True, slots=True, eq=False)
class InterestProfile:
    """A viewer's interest profile. A share is the square root of a label's part of the visits over the largest, (0, 1].

    The root, because a second interest with a third of the visits is half as good a reason, and not a third.
    """

    known: bool = True
    query_E: NDArray[np.float32] | None = None  # projection of a unit vector; None where no recent room has a vector
    habits: tuple[tuple[StreamerId, float], ...] = ()  # streamer and strength of the habit in (0, 1)
    streamers: frozenset[StreamerId] = frozenset()  # of the habits
    followed: frozenset[StreamerId] = frozenset()  # those of them that the viewer follows and never visited
    categories: dict[str, float] = field(default_factory=dict)
    languages: dict[str, float] = field(default_factory=dict)
    top_categories: tuple[str, ...] = ()  # largest share first
    room: RoomId | None = None  # where the viewer is now
    origin: StreamerId | None = None  # with whom the viewer was last
    preferred: frozenset[str] = frozenset()  # keys of languages that were asked for, and not watched
    likened: Likened = NOBODY  # whose rooms the content comes from, for the reason; with a model in viewer_cache.py
    rules: RulesInForce = NO_RULES  # what the viewer demands


class _Sum:
    """Sums over the visited rooms: categories, languages and content."""

    def __init__(self) -> None:
        self.categories: defaultdict[str, float] = defaultdict(float)
        self.languages: defaultdict[str, float] = defaultdict(float)
        self.slots: list[int] = []
        self.slot_weights: list[float] = []
        self.slot_streamers: list[str] = []
        self.ended: list[tuple[NDArray[np.float16], float]] = []
        self.ended_streamers: list[str] = []

    def add(self, abouts: Sequence[RoomSnapshot | EndedRoom | None], weights: Sequence[float]) -> None:
        categories, languages = self.categories, self.languages
        for about, weight in zip(abouts, weights, strict=True):
            if about is None:
                continue
            state = about.state
            categories[state.category] += weight
            languages[state.language] += weight
            if isinstance(about, RoomSnapshot):
                self.slots.append(about.slot)
                self.slot_weights.append(weight)
                self.slot_streamers.append(state.streamer)
            elif about.vector_D is not None:
                self.ended.append((about.vector_D, weight))
                self.ended_streamers.append(state.streamer)

    def query(
        self, vectors_ND: NDArray[np.float16], projection: Projection | None
    ) -> tuple[NDArray[np.float32] | None, Likened]:
        """The mean content vector, normalised and projected, and whose rooms it comes from."""
        if projection is None or not (self.slots or self.ended):
            return None, NOBODY
        rows_ND = vectors_ND[self.slots].astype(np.float32)
        if self.ended:
            rows_ND = np.concatenate([rows_ND, np.stack([vector_D for vector_D, _ in self.ended])], dtype=np.float32)
        weights_N = np.array(self.slot_weights + [weight for _, weight in self.ended], np.float32)
        seen_N = ~np.isnan(rows_ND[:, 0])
        mean_D = weights_N[seen_N] @ rows_ND[seen_N]
        length = math.sqrt(float(mean_D @ mean_D))
        if not length > 0:
            return None, NOBODY
        query_E = projection.project(mean_D / np.float32(length))
        by_streamer = likened([*self.slot_streamers, *self.ended_streamers], weights_N, rows_ND)
        sums_AE = projection.project(by_streamer.sums_AE.astype(np.float32)).astype(np.float16)
        return query_E, Likened(by_streamer.streamers, sums_AE)


@dataclass(frozen=True, slots=True, eq=False)
class ProfileReading:
    """The part of an interest profile that does not depend on rooms. habits_ms: when the fading habits were read."""

    weights: tuple[float, ...]  # per visit: recent ones count more, and long ones somewhat more
    habits: tuple[tuple[StreamerId, float], ...]
    streamers: frozenset[StreamerId]
    followed: frozenset[StreamerId]  # as in InterestProfile
    habits_ms: int


def reading_of(profile: ViewerProfile, now_ms: int) -> ProfileReading:
    """Reads a profile, without the rooms."""
    last_ms = profile.last_at_ms
    weights = [_engagement(visit) * _decay(last_ms - visit.last_at_ms, VISIT_HALF_LIFE_MS) for visit in profile.visits]
    habits = [
        (
            habit.streamer,
            strength(habit.visits + habit.followed, (now_ms - habit.last_at_ms) / DAY_MS),
        )
        for habit in profile.habits
    ]
    followed = frozenset([habit.streamer for habit in profile.habits if habit.followed and not habit.visits])
    return ProfileReading(
        tuple(weights), tuple(habits), frozenset([streamer for streamer, _ in habits]), followed, now_ms
    )


def interest_profile(
    profile: ViewerProfile,
    rooms: RoomTable,
    now_ms: int,
    broad_category: str = "",
    *,
    reading: ProfileReading | None = None,
    abouts: Sequence[RoomSnapshot | EndedRoom | None] | None = None,
    content: bool = True,
    presence_ms: int = PRESENCE_MS,
) -> InterestProfile:
    """A viewer's interest profile, by the content and labels of the visited rooms.

    broad_category: the label of rooms about anything. reading, abouts: of this profile and its visits, if the caller
    has them. content: whether the mean of the visited rooms' content is wanted; a viewer tower computes its own.
    presence_ms: a viewer who was silent for so long is in no room.
    """
    reading = reading or reading_of(profile, now_ms)
    total = _Sum()
    total.add(abouts or abouts_of(profile.visits, rooms), reading.weights)
    by_category = _by_key(total.categories, category_key)
    for label in by_category:
        if category_key(label) == category_key(broad_category):
            by_category[label] *= BROAD_WEIGHT
    categories = _shares(by_category)
    query_E, whose = total.query(rooms.vectors_ND, rooms.projection) if content else (None, NOBODY)
    return InterestProfile(
        query_E=query_E,
        likened=whose,
        habits=reading.habits,
        streamers=reading.streamers,
        followed=reading.followed,
        categories=categories,
        top_categories=tuple(sorted(categories, key=categories.__getitem__, reverse=True)[:TOP_CATEGORIES]),
        languages=_shares(_by_key(total.languages, language_key)),
        room=profile.room if is_present(profile, now_ms, presence_ms) else None,
        origin=profile.visits[-1].streamer if profile.visits else None,
        rules=in_force(profile.rules),
    )


def is_present(profile: ViewerProfile, now_ms: int, presence_ms: int) -> bool:
    """Whether the viewer is still in the room of their last event. now_ms: event time.

    The worker that owns the viewer ends such a visit too, a minute later. Without it the answer is right all the same.
    """
    return profile.room is not None and now_ms - profile.visits[-1].last_at_ms < presence_ms


def abouts_of(visits: Sequence[Visit], rooms: RoomTable) -> list[RoomSnapshot | EndedRoom | None]:
    """Per visit the visited room, live or remembered, else the streamer's present room; None where there is none."""
    snapshots = rooms.snapshots
    return [snapshots.get(visit.room) or _about(visit, rooms) for visit in visits]


def _about(visit: Visit, rooms: RoomTable) -> RoomSnapshot | EndedRoom | None:
    about = rooms.ended.get(visit.room)
    if about is not None:
        return about
    for room in rooms.roster.of(visit.streamer) or ():
        return rooms.snapshots[room]
    return None


def _engagement(visit: Visit) -> float:
    """The weight of a visit. To have entered counts most; an hour of watching or some chat nearly doubles it."""
    signs = min(visit.chats + visit.likes + visit.gifts, 5)
    return 1 + PER_LOG_MINUTE * math.log1p(visit.watch_ms / 60_000) + PER_SIGN * signs


def _decay(age_ms: int, half_life_ms: float) -> float:
    return float(0.5 ** (max(age_ms, 0) / half_life_ms))


def strength(visits: int, ago_days: float) -> float:
    """Strength of one habit, as training/baseline.py computes it for many; following counts as a visit."""
    return visits / (visits + 1) * math.exp(-FORGETTING * math.log1p(max(ago_days, 0.0)))


def _by_key(weights: Mapping[str, float], key: Callable[[str], str]) -> dict[str, float]:
    """Sums over the spellings of each label, under its first spelling."""
    first: dict[str, str] = {}
    summed: dict[str, float] = {}
    for label, weight in weights.items():
        spelling = first.setdefault(key(label), label)
        summed[spelling] = summed.get(spelling, 0.0) + weight
    return summed


def _shares(weights: dict[str, float]) -> dict[str, float]:
    top = max(weights.values(), default=0)
    return {label: math.sqrt(weight / top) for label, weight in weights.items() if label} if top > 0 else {}
