"""Mutable parts of a profile during aggregation, with the fields of the records. Never aggregates."""

from __future__ import annotations

import msgspec


class OpenVisit(msgspec.Struct, array_like=True, eq=False):
    """A mutable Visit, with the same fields in the same order."""

    room: str
    streamer: str
    entered_at_ms: int
    last_at_ms: int
    watch_ms: int = 0
    chats: int = 0
    likes: int = 0
    gifts: int = 0


class OpenHabit(msgspec.Struct, array_like=True, eq=False):
    """A mutable StreamerHabit, with the same fields in the same order."""

    streamer: str
    visits: int = 0
    watch_ms: int = 0
    last_at_ms: int = 0
    followed: bool = False
    chats: int = 0
    first_entered_at_ms: int = 0
    entered_at_ms: int = 0
