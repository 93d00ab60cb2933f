"""Owns what of a room's state is counted. Never counts."""

from __future__ import annotations

from typing import NamedTuple

from streaming.events import ActivityBucket, Arrival, StreamerId


class RoomCounts(NamedTuple):
    """What of a RoomState is counted, under the same names: a fifth of its price where nobody publishes it."""

    streamer: StreamerId
    started_at_ms: int
    messages: int
    chat_at_ms: int
    entered: int
    newcomers: int
    first_entered: int
    left: int
    recent: tuple[ActivityBucket, ...]
    recent_messages: tuple[int, ...]
    recent_messages_ms: int
    arrivals: tuple[Arrival, ...]
