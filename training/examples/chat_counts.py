"""Counts of a room's chat for a pass that wants no text of it. Never keeps a message."""

from __future__ import annotations

from streaming.room.recent import RecentMessages
from streaming.room.room import RoomCounts
from streaming.room.slice import SLICE_MS


class ChatCounts:
    """Counts of one room's messages, which come in the order of their times.

    They equal those of a RoomAggregate, at a tenth of its time: without a window nothing is noted, cut or closed.
    """

    __slots__ = ("_recent", "_said", "at_ms", "messages")

    def __init__(self) -> None:
        self._recent = RecentMessages()
        self._said: set[tuple[str, str]] = set()  # viewers and texts of the newest millisecond
        self.messages = 0
        self.at_ms = 0  # of the newest message

    def add(self, viewer: str, text: str, at_ms: int) -> None:
        """Counts a message; a repetition of the same moment by the same viewer is a duplicate."""
        if at_ms != self.at_ms:
            self.at_ms = at_ms
            self._said.clear()
        elif (viewer, text) in self._said:
            return
        self._said.add((viewer, text))
        self.messages += 1
        index = at_ms // SLICE_MS
        self._recent.add({index: 1}, {index: 1})

    def put_into(self, counts: RoomCounts) -> RoomCounts:
        """The counts of a room with these in place of its chat's."""
        recent = self._recent
        return counts._replace(
            messages=self.messages,
            chat_at_ms=self.at_ms,
            recent_messages=recent.counts(),
            recent_messages_ms=recent.newest_ms,
        )
