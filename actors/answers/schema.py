"""A viewer as the platform sees them, and a map of the live rooms, as records. Never reads a profile or a vector."""

from __future__ import annotations

import msgspec

MAX_MAPPED = 1_000  # rooms of a map, and that its axes are found by


class SeenVisit(msgspec.Struct, frozen=True, kw_only=True):
    """A visit to a room, until another began. Times in ms since the Unix epoch."""

    room: str
    streamer: str
    entered_at_ms: int
    last_at_ms: int  # newest sign of life in the visit
    watch_ms: int
    chats: int
    likes: int
    gifts: int
    live: bool  # whether the room is live now


class SeenHabit(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer has with a streamer. strength: 0..1, what the term `visited` of the baseline's score goes by."""

    streamer: str
    visits: int
    watch_ms: int
    chats: int
    followed: bool
    last_at_ms: int
    strength: float
    live_rooms: list[str]


class SeenInterests(msgspec.Struct, frozen=True, kw_only=True):
    """What the score reads from the visits. A share is 1 for the most visited label, its root less for the others."""

    categories: dict[str, float]
    languages: dict[str, float]
    top_categories: list[str]  # whose best rooms become candidates
    similar_to: list[str]  # streamers whose rooms the viewer's vector comes from, the strongest first
    has_vector: bool  # whether rooms are compared with what the viewer visited
    last_streamer: str | None  # from whom others may have gone on, as this viewer might


class SeenViewer(msgspec.Struct, frozen=True, kw_only=True):
    """A viewer with a profile. Visits: the latest first. Habits: the strongest first."""

    viewer: str
    room: str | None  # where they are now, as far as is known
    total_visits: int
    repeats: int  # of these, to a streamer visited before
    total_events: int
    first_at_ms: int
    last_at_ms: int
    generated_at_ms: int
    model_version: str
    interests: SeenInterests
    habits: list[SeenHabit]
    visits: list[SeenVisit]


class KnownViewers(msgspec.Struct, frozen=True, kw_only=True):
    """Viewers whose profiles a replica holds, those heard of or asked for latest first. held: how many they are."""

    held: int
    viewers: list[str]


class MapPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A live room on a map. x, y: by content, between -1 and 1; they change only where its vector does.

    drift: how far what is said now is from what was said before in the broadcast, one minus their cosine, 0..2; null
    before there is a before. code: the first of its semantic codes under the version in force, null under v0.
    """

    room: str
    streamer: str
    title: str
    category: str
    language: str
    mature: bool
    audience: int
    x: float
    y: float
    drift: float | None
    code: int | None


class RoomMap(msgspec.Struct, frozen=True, kw_only=True):
    """Live rooms by content in two dimensions, largest audience first; without those that have no vector yet.

    axes: to be given with the next request, so that rooms stay where they are. They come back as they were while they
    show what differs, else others, turned towards them. explained: the share of the differences that x and y show.
    """

    at_ms: int
    live_rooms: int
    axes: str
    explained: float
    rooms: list[MapPoint]
