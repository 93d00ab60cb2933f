"""Owns a room's life and description: the fold of `rooms`. Never sees chat, activity or a vector."""

from __future__ import annotations

from streaming.events import RoomDescription, RoomEnded, RoomEvent, RoomStarted, RoomState, RoomUpdated
from streaming.outcome import Outcome


class Lifecycle:
    """Started, described, ended. A function of the room's own records in log order."""

    __slots__ = ("appended_ms", "described_at_ms", "description", "ended_at_ms", "offset", "started_at_ms")

    def __init__(self) -> None:
        self.description: RoomDescription | None = None  # None: not started
        self.described_at_ms = 0  # event time of the description in force
        self.appended_ms = 0  # append time of the description in force
        self.started_at_ms = 0
        self.ended_at_ms = 0  # 0 while live
        self.offset = -1

    def apply(self, event: RoomEvent, offset: int, appended_ms: int) -> Outcome:
        """APPLIED, REPLAYED, STALE, AFTER_END, RESTARTED, REVIVED or ENDED."""
        if offset <= self.offset:
            return Outcome.REPLAYED
        self.offset = offset
        if isinstance(event, RoomEnded):
            return self._end(event)
        if self.ended_at_ms:
            return self._revive(event, appended_ms)
        outcome = Outcome.APPLIED
        if isinstance(event, RoomStarted) and self.description is not None:
            outcome = Outcome.RESTARTED
            self.started_at_ms = min(self.started_at_ms, event.at_ms)  # an update may have come before its start
        if self.description is None:
            self.started_at_ms = event.at_ms
        elif event.at_ms < self.described_at_ms:
            return Outcome.STALE
        self._describe(event, appended_ms)
        return outcome

    def _end(self, event: RoomEnded) -> Outcome:
        if self.ended_at_ms:
            return Outcome.STALE
        # An end is believed whatever its clock says, and nothing that came before it may revive the room.
        self.ended_at_ms = max(event.at_ms, self.started_at_ms, self.described_at_ms, 1)
        return Outcome.ENDED if self.description is not None else Outcome.ORPHAN

    def _revive(self, event: RoomStarted | RoomUpdated, appended_ms: int) -> Outcome:
        if event.at_ms <= self.ended_at_ms:
            return Outcome.STALE
        if isinstance(event, RoomUpdated):
            return Outcome.AFTER_END
        self.ended_at_ms = 0
        self.started_at_ms = event.at_ms
        self._describe(event, appended_ms)
        return Outcome.REVIVED

    def _describe(self, event: RoomDescription, appended_ms: int) -> None:
        self.description = event
        self.described_at_ms = event.at_ms
        self.appended_ms = appended_ms

    def restore(self, state: RoomState) -> None:
        """Continues from a state."""
        self.description = RoomUpdated(
            room=state.room,
            streamer=state.streamer,
            at_ms=state.described_at_ms,
            title=state.title,
            category=state.category,
            language="" if state.language_guessed else state.language,
            tags=list(state.tags),
            mature=state.mature,
        )
        self.described_at_ms = state.described_at_ms
        self.appended_ms = state.described_appended_ms
        self.started_at_ms = state.started_at_ms
        self.ended_at_ms = state.ended_at_ms if state.status == "ended" else 0
        self.offset = state.rooms_offset
