"""The roster: which live rooms each streamer has, and which streamers changed lately. Never knows a room's state."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Set
from itertools import islice

from streaming.events import RoomId, StreamerId

JOURNAL_CHANGES = 256  # some minutes of starts and ends at 10,000 rooms; later callers look everything up anew


class Roster:
    """A map of streamers to their live rooms and slots. Not thread-safe.

    A viewer's habits are dozens of look-ups, each a few cache misses, and rooms rarely start or end. So callers keep
    what they found and ask `stands` instead.
    """

    def __init__(self) -> None:
        self._rooms: dict[StreamerId, dict[RoomId, int]] = {}
        self._changed: deque[StreamerId] = deque(maxlen=JOURNAL_CHANGES)
        self.version = 0  # number of changes

    def of(self, streamer: StreamerId) -> Mapping[RoomId, int] | None:
        """A streamer's live rooms and their slots; None where there is none."""
        return self._rooms.get(streamer)

    def enter(self, streamer: StreamerId, room: RoomId, slot: int) -> None:
        """Notes that a streamer has a live room, perhaps a known one."""
        rooms = self._rooms.setdefault(streamer, {})
        if rooms.get(room) != slot:
            rooms[room] = slot
            self._note(streamer)

    def leave(self, streamer: StreamerId, room: RoomId) -> None:
        """Notes that a known room is no longer the streamer's."""
        rooms = self._rooms[streamer]
        del rooms[room]
        if not rooms:
            del self._rooms[streamer]
        self._note(streamer)

    def stands(self, version: int, streamers: Set[StreamerId]) -> bool:
        """Whether none of these streamers has changed since a version of the roster."""
        missed = self.version - version
        if missed > len(self._changed):
            return False
        return streamers.isdisjoint(islice(reversed(self._changed), missed)) if missed else True

    def _note(self, streamer: StreamerId) -> None:
        self._changed.append(streamer)
        self.version += 1
