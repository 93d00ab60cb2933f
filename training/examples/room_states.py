"""States of rooms, aggregated as a RoomWorker does but without an encoder, and kept in columns. Never ranks."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streaming.errors import TrainingError
from streaming.events import ChatMessage, Outcome, RoomActivity, RoomEvent, RoomId, RoomState, Speech
from streaming.room.room import RoomAggregate
from streaming.room.text import build_title_text, text_hash
from streaming.room.window_config import WindowConfig
from training.examples.chat_counts import ChatCounts
from training.features.room_columns import LiveRooms

NOTHING = -1  # where there is no text, or no room
UNBORN = 0  # the slot of a room of which nothing is known yet
SWEEP_MS = 5_000  # a segment is noticed to have closed for idleness this late
FORGET_MS = 3_600_000  # after its end a room's tombstone is due
NEVER_MS = -(2**62)
ACTIVITY_OFFSET = 2**50  # past those of any log: activity is made here anew, and a restored room has seen the log's


@dataclass(frozen=True, slots=True)
class Text:
    """A text that content is made of. segment: in 30 s since the epoch, −1 for a title.

    in_mean: whether the slow mean takes it in. language, category: declared beside a title, "" for none.
    """

    room: int
    segment: int
    hash: int
    text: str
    in_mean: bool
    language: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class Liveness:
    """The rule of which rooms are live.

    heard_within_ms: rooms with chat so recently are live, ended or not; None: rooms that have not ended are live.
    timeout_ms: a room without a sign of life for so long is presumed ended; 0: never.
    """

    heard_within_ms: int | None = None
    timeout_ms: int = 900_000


class _RoomEntry:
    """The entry of a room that is not forgotten yet."""

    __slots__ = ("aggregate", "chat", "dirty", "forgotten", "heard", "slot")

    def __init__(self, aggregate: RoomAggregate, slot: int) -> None:
        self.aggregate = aggregate
        self.chat = ChatCounts()  # in place of the aggregate's where no text is wanted
        self.slot = slot
        self.dirty = False  # its columns are behind
        self.heard = False  # a segment with text has closed
        self.forgotten = False


class RoomStateColumns:
    """States of rooms by id, and their columns by slot. Rooms are numbered in the order of their first mention."""

    def __init__(self, window: WindowConfig, liveness: Liveness, max_held: int, *, chat_texts: bool = True) -> None:
        """chat_texts: whether the texts of chat are wanted; without, it must come in the order in which it was said."""
        self._chat_texts = chat_texts
        self._window = window
        self._room_config = replace(window, mean_every=1)  # every segment's text is wanted
        self._liveness = liveness
        self._rooms: dict[str, _RoomEntry] = {}
        self._dirty: list[_RoomEntry] = []
        self._free: list[int] = []
        self._next_slot = UNBORN + 1
        self.sweep_due_ms = 0  # append time up to which `sweep` does nothing
        self._activity_offset = ACTIVITY_OFFSET
        self.live = LiveRooms(max_held)
        self.number_N = np.full(max_held, NOTHING, np.int32)
        self.segment_N = np.full(max_held, NOTHING, np.int32)  # row of `texts`: the newest segment that has closed
        self.title_N = np.full(max_held, NOTHING, np.int32)  # row of `texts`: the title in force
        self._chat_ms_N = np.full(max_held, NEVER_MS, np.int64)
        self._live_N = np.zeros(max_held, np.bool_)
        self.numbers: dict[str, int] = {}  # of all rooms ever mentioned, by id
        self.streamers: list[str] = []  # by number, "" where nobody said
        self.texts: list[Text] = []

    def restore(self, states: Iterable[RoomState]) -> None:
        """Starts from published states of rooms. Call it before any record."""
        for state in states:
            entry = self._entry(state.room)
            entry.aggregate.restore(state)
            entry.heard = state.mean_segment >= 0
            text = build_title_text(state.title, state.category, state.tags, self._window.title_chars)
            language = "" if state.language_guessed else state.language
            self._note_title(entry, text_hash(text), text, language, state.category)
            self._touch(entry)

    # records, in the order of the log

    def apply_lifecycle(self, event: RoomEvent, offset: int, at_ms: int) -> None:
        """Applies a lifecycle event, with the room's title from now on."""
        entry = self._entry(event.room)
        entry.aggregate.apply_lifecycle(event, offset, at_ms)
        title, row = entry.aggregate.title_text(), int(self.title_N[entry.slot])
        is_other = title is not None and (row == NOTHING or self.texts[row].hash != title.hash)
        described = entry.aggregate.description
        if title is not None and is_other and described is not None:
            self._note_title(entry, title.hash, title.text, described.language, described.category)
        self._touch(entry)

    def apply_chat(self, message: ChatMessage | Speech, offset: int, at_ms: int) -> None:
        """Applies a chat message or a transcript."""
        entry = self._entry(message.room)
        if self._chat_texts:
            entry.aggregate.apply_chats(
                [(message.viewer, message.text, message.at_ms, offset, at_ms)], [0] * len(Outcome)
            )
            self._take_segments(entry)
        elif message.viewer is not None:
            entry.chat.add(message.viewer, message.text, message.at_ms)
        self._touch(entry)

    def apply_activity(self, activities: Iterable[RoomActivity], at_ms: int) -> None:
        """Applies counts of viewers' activity."""
        for activity in activities:
            entry = self._entry(activity.room)
            entry.aggregate.apply_activity(activity, self._activity_offset, at_ms)
            self._activity_offset += 1
            self._touch(entry)

    def sweep(self, head_ms: int) -> None:
        """Applies the passing of time: closes idle segments, presumes silent rooms ended, forgets ended rooms."""
        if head_ms < self.sweep_due_ms:
            return
        self.sweep_due_ms = head_ms + SWEEP_MS
        for room, entry in list(self._rooms.items()):
            aggregate = entry.aggregate
            if aggregate.due_ms < head_ms:
                aggregate.close_idle(head_ms)
                self._take_segments(entry)
            silent_ms = head_ms - max(aggregate.alive_ms, entry.chat.at_ms)
            if silent_ms > self._liveness.timeout_ms > 0 and aggregate.status == "live":
                aggregate.presume_ended()
                self._touch(entry)
            if silent_ms > FORGET_MS and aggregate.status != "live":
                self._forget(room, entry)

    # queries

    def number(self, room: str, streamer: str = "") -> int:
        """The number of a room; a new one for a room not mentioned before. streamer: "" for unknown."""
        number = self.numbers.setdefault(room, len(self.numbers))
        if number == len(self.streamers):
            self.streamers.append(streamer)
        elif streamer:
            self.streamers[number] = streamer
        return number

    def slot(self, room: str) -> int:
        """The slot of a room's columns; UNBORN where nothing is known of the room."""
        entry = self._rooms.get(room)
        return entry.slot if entry is not None and entry.aggregate.started else UNBORN

    def slots(self, at_ms: int) -> NDArray[np.int64]:
        """Slots of the rooms that are live, int64 [N], ascending. Brings all columns up to date."""
        self._refresh()
        within_ms = self._liveness.heard_within_ms
        if within_ms is None:
            return np.flatnonzero(self._live_N[: self._next_slot])
        return np.flatnonzero(self._chat_ms_N[: self._next_slot] >= at_ms - within_ms)

    def _refresh(self) -> None:
        for entry in self._dirty:
            entry.dirty = False
            aggregate, slot = entry.aggregate, entry.slot
            counts = aggregate.counts()
            if counts is None or entry.forgotten:
                continue
            if not self._chat_texts:
                counts = entry.chat.put_into(counts)
            self.live.set(slot, counts)
            self._chat_ms_N[slot] = counts.chat_at_ms or NEVER_MS
            self._live_N[slot] = aggregate.status == "live"
            if not self.streamers[self.number_N[slot]]:
                self.streamers[self.number_N[slot]] = counts.streamer
            aggregate.mark_published()
        self._dirty.clear()

    def _entry(self, room: str) -> _RoomEntry:
        entry = self._rooms.get(room)
        if entry is not None:
            return entry
        slot = self._free.pop() if self._free else self._next_slot
        if slot == len(self.number_N):
            raise TrainingError(
                f"more than {len(self.number_N) - 1} rooms at once; raise examples.max_held, or give less of the log"
            )
        self._next_slot = max(self._next_slot, slot + 1)
        entry = self._rooms[room] = _RoomEntry(RoomAggregate(RoomId(room), self._room_config), slot)
        self.number_N[slot] = self.number(room)
        return entry

    def _forget(self, room: str, entry: _RoomEntry) -> None:
        del self._rooms[room]
        entry.forgotten = True
        slot = entry.slot
        self.live.clear(slot)
        self.number_N[slot] = self.segment_N[slot] = self.title_N[slot] = NOTHING
        self._chat_ms_N[slot], self._live_N[slot] = NEVER_MS, False
        self._free.append(slot)

    def _touch(self, entry: _RoomEntry) -> None:
        if not entry.dirty:
            entry.dirty = True
            self._dirty.append(entry)

    def _take_segments(self, entry: _RoomEntry) -> None:
        for segment in entry.aggregate.closed_segments():
            phase = zlib.crc32(entry.aggregate.room.encode())
            in_mean = not entry.heard or (segment.index + phase) % self._window.mean_every == 0
            entry.heard = True
            self.segment_N[entry.slot] = self._note(entry, segment.index, segment.hash, segment.text, in_mean=in_mean)
            entry.aggregate.skip_segment(segment.index)

    def _note_title(self, entry: _RoomEntry, text_hash: int, text: str, language: str, category: str) -> None:
        row = NOTHING
        if text:
            row = len(self.texts)
            self.texts.append(
                Text(self.numbers[entry.aggregate.room], NOTHING, text_hash, text, False, language, category)
            )
        self.title_N[entry.slot] = row

    def _note(self, entry: _RoomEntry, segment: int, text_hash: int, text: str, *, in_mean: bool) -> int:
        if not text:
            return NOTHING
        self.texts.append(Text(self.numbers[entry.aggregate.room], segment, text_hash, text, in_mean))
        return len(self.texts) - 1
