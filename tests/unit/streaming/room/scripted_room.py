"""A room for tests that is told what happens, in seconds. Never asserts."""

from __future__ import annotations

import numpy as np

from streaming.events import (
    ChatMessage,
    Outcome,
    RoomActivity,
    RoomEnded,
    RoomId,
    RoomStarted,
    RoomState,
    RoomUpdated,
    Speech,
)
from streaming.room.reading import RoomText
from streaming.room.room import RoomAggregate
from streaming.room.vectors import to_bytes
from streaming.room.window_config import WindowConfig

START_MS = 1_700_000_010_000  # a segment begins here
SEGMENT = START_MS // 30_000


def vector(*values: float) -> bytes:
    return to_bytes(np.array(values, dtype=np.float32))


class Room:
    """Feeds one room, times in seconds; append times are event times unless told otherwise."""

    def __init__(self, config: WindowConfig | None = None) -> None:
        self.aggregate = RoomAggregate(RoomId("r"), config or WindowConfig())
        self.offset = 0

    def _at(self, at_s: float) -> int:
        self.offset += 1
        return START_MS + int(at_s * 1_000)

    def start(
        self, at_s: float = 0, title: str = "a title", language: str = "", appended_s: float | None = None
    ) -> Outcome:
        at_ms = self._at(at_s)
        event = RoomStarted(room="r", streamer="s", at_ms=at_ms, title=title, language=language, tags=["x"])
        return self.aggregate.apply_lifecycle(event, self.offset, at_ms if appended_s is None else self._at(appended_s))

    def update(self, at_s: float, title: str) -> Outcome:
        at_ms = self._at(at_s)
        event = RoomUpdated(room="r", streamer="s", at_ms=at_ms, title=title)
        return self.aggregate.apply_lifecycle(event, self.offset, at_ms)

    def end(self, at_s: float) -> Outcome:
        at_ms = self._at(at_s)
        return self.aggregate.apply_lifecycle(RoomEnded(room="r", at_ms=at_ms), self.offset, at_ms)

    def say(self, text: str, at_s: float, viewer: str = "v") -> Outcome:
        at_ms = self._at(at_s)
        return self.aggregate.apply_chat(
            ChatMessage(room="r", viewer=viewer, text=text, at_ms=at_ms), self.offset, at_ms
        )

    def speak(self, text: str, at_s: float, appended_s: float | None = None) -> Outcome:
        at_ms = self._at(at_s)
        appended_ms = at_ms if appended_s is None else START_MS + int(appended_s * 1_000)
        return self.aggregate.apply_chat(Speech(room="r", text=text, at_ms=at_ms), self.offset, appended_ms)

    def enter(self, at_s: float, entered: int = 1) -> Outcome:
        at_ms = self._at(at_s)
        activity = RoomActivity(room=RoomId("r"), bucket_ms=at_ms - at_ms % 10_000, entered=entered, newcomers=1)
        return self.aggregate.apply_activity(activity, self.offset, at_ms)

    def texts(self) -> tuple[RoomText, RoomText]:
        """The texts of the title and of the chat, both to be encoded."""
        title, chat = self.aggregate.title_text(), self.aggregate.chat_text()
        if title is None or chat is None:
            raise LookupError(f"a text is missing: title {title}, chat {chat}")
        return title, chat

    @property
    def state(self) -> RoomState:
        state = self.aggregate.state(START_MS)
        assert state is not None
        return state
