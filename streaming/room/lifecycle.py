"""Aggregate of a room's records on `rooms`: its life and description. Never sees chat, activity or a vector."""

from __future__ import annotations

from msgspec import UNSET

from streaming.events import Outcome, RoomDescription, RoomEnded, RoomEvent, RoomStarted, RoomState, RoomUpdated

DESCRIBED = (
    "title",
    "category",
    "language",
    "tags",
    "mature",
)  # each from the latest record that has it, by event time


class Lifecycle:
    """A room's start, description and end. A function of the room's own records in log order."""

    __slots__ = ("_said_ms", "appended_ms", "described_at_ms", "description", "ended_at_ms", "offset", "started_at_ms")

    def __init__(self) -> None:
        self.description: RoomDescription | None = None  # None: not started
        self.described_at_ms = 0  # event time of the description in force
        self._said_ms = dict.fromkeys(DESCRIBED, 0)  # event time of each field's value, 0 where no record had it
        self.appended_ms = 0  # append time of the description in force
        self.started_at_ms = 0
        self.ended_at_ms = 0  # 0 while live
        self.offset = -1

    def apply(self, event: RoomEvent, offset: int, appended_ms: int) -> Outcome:
        """Applies one record. Its outcome: APPLIED, REPLAYED, STALE, AFTER_END, RESTARTED, REVIVED, ENDED or ORPHAN."""
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
        return outcome if self._describe(event, appended_ms) else Outcome.STALE

    def _end(self, event: RoomEnded) -> Outcome:
        if self.ended_at_ms:
            return Outcome.STALE
        # An end counts whatever its event time, and no record from before it may revive the room.
        self.ended_at_ms = max(event.at_ms, self.started_at_ms, self.described_at_ms, 1)
        return Outcome.ENDED if self.description is not None else Outcome.ORPHAN

    def _revive(self, event: RoomStarted | RoomUpdated, appended_ms: int) -> Outcome:
        # At equal event times the later record counts, but a repeated start does not.
        if event.at_ms < self.ended_at_ms or event.at_ms <= self.described_at_ms:
            return Outcome.STALE
        if isinstance(event, RoomUpdated):
            return Outcome.AFTER_END
        self.ended_at_ms = 0
        self.started_at_ms = event.at_ms
        self._describe(event, appended_ms)
        return Outcome.REVIVED

    def _describe(self, event: RoomStarted | RoomUpdated, appended_ms: int) -> bool:
        """Takes each field that no record has set at a later event time. False for a late record that changes nothing.

        Producers' clocks differ: the one that marks rooms as mature may be seconds behind the one that sets titles.
        """
        before, is_newest = self.description, event.at_ms >= self.described_at_ms
        fields = {} if before is None else {name: getattr(before, name) for name in DESCRIBED}
        for name, said_ms in self._said_ms.items():
            value = getattr(event, name)
            if value is not UNSET and event.at_ms >= said_ms:
                fields[name] = value
                self._said_ms[name] = event.at_ms
        newest = event if is_newest or before is None else before
        now = RoomDescription(room=event.room, streamer=newest.streamer, at_ms=newest.at_ms, **fields)
        if not is_newest and now == before:
            return False
        self.description, self.described_at_ms, self.appended_ms = now, now.at_ms, appended_ms
        return True

    @property
    def said_ms(self) -> tuple[int, ...]:
        """Event time of each field of DESCRIBED, 0 where no record had it; empty where all are at `described_at_ms`."""
        times = tuple(self._said_ms.values())
        return () if set(times) == {self.described_at_ms} else times

    def restore(self, state: RoomState) -> None:
        """Continues from a published state."""
        self.description = RoomDescription(
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
        self._said_ms = dict(zip(DESCRIBED, state.said_ms or (state.described_at_ms,) * len(DESCRIBED), strict=True))
        self.appended_ms = state.described_appended_ms
        self.started_at_ms = state.started_at_ms
        self.ended_at_ms = state.ended_at_ms if state.status == "ended" else 0
        self.offset = state.rooms_offset
