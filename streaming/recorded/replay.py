"""Turns recordings into events on a timeline; derives rooms and visits from chat. Never reads a clock, never sends.

A derived room starts with its first message and ends with its last. A viewer enters it with a message there after one
elsewhere, or after half an hour without any. Every message is also a `chat` event of the viewer.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from streaming.errors import InputFileError
from streaming.events import Action, ChatMessage, RoomEnded, RoomEvent, RoomStarted, ViewerEvent
from streaming.log.codec import Decoder
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS
from streaming.recorded.formats.comma_separated import CommaSeparated
from streaming.recorded.formats.recorded_file import RecordedFile
from streaming.recorded.json_records import (
    ROOM_COLUMNS,
    VISIT_COLUMNS,
    LogCheck,
    check_derived,
    head,
    lifecycle_head,
    quoted,
    visit_head,
)
from streaming.recorded.playback import GAP_KEPT_S, Event, Timeline
from streaming.recorded.recorded_rooms import SILENCE_MS, RecordedRooms, Selection, find_rooms
from streaming.recorded.recording import Recording

# An event before it is timed: recorded time, topic, key, and its JSON up to the time.
Untimed = tuple[int, str, bytes, bytes]
# An event derived from a row of chat: recorded time, kind, index of the room, viewer, text.
Derived = tuple[int, str, int, str, str]
# Time, topic, record.
Recorded = tuple[int, str, RoomEvent | ChatMessage | ViewerEvent]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's description, which its chat does not have."""

    title: str = ""
    category: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A replay's duration, and the long silences that it shortens."""

    lasts_ms: int
    skipped_gaps: int
    skipped_s: float


class Replay:
    """Recordings that are played together. Iterating reads the files; it can be repeated.

    With a file of rooms no room is derived, with a file of viewer events no visit; the chat then needs a column
    `room`. Raises InputFileError.
    """

    def __init__(
        self,
        chat: Recording | None = None,
        rooms: Recording | None = None,
        viewer_events: Recording | None = None,
        *,
        channels: Mapping[str, Channel] | None = None,
        selection: Selection | None = None,
    ) -> None:
        self._chat, self._rooms, self._viewer_events = chat, rooms, viewer_events
        self._channels = channels or {}
        self._selection = selection or Selection()
        if chat is not None and "room" not in chat.columns and (rooms is not None or viewer_events is not None):
            raise InputFileError(
                f"{chat.path}: no column room, which tells the rooms of the other files from each other"
            )
        self._found = find_rooms(chat, self._selection) if chat is not None else None
        others = [self._times(file) for file in (rooms, viewer_events) if file is not None]
        times = [
            times for times in (*others, self._found.times_N if self._found else np.empty(0, np.int64)) if len(times)
        ]
        if not times:
            raise InputFileError("no row is selected; give a recording, and a window and times that it holds")
        self.times_N = np.sort(np.concatenate(times), kind="stable")
        self.rows = len(self.times_N)
        self._position_ms = -1
        self._open: dict[bytes, bytes] = {}  # derived rooms that have started and not ended: key, name as JSON

    @property
    def rows_played(self) -> int:
        """Number of `rows` turned into events so far."""
        return int(np.searchsorted(self.times_N, self._position_ms, side="right"))

    def span(self, speed: float, longest_gap_s: float | None) -> Span:
        """The duration of the whole replay on a timeline of that speed and longest gap."""
        gaps_ms = np.diff(self.times_N)
        long = gaps_ms > (np.inf if longest_gap_s is None else longest_gap_s * 1000)
        kept_ms = gaps_ms[~long].sum() + long.sum() * GAP_KEPT_S * 1000
        return Span(int(kept_ms / speed), int(long.sum()), float((gaps_ms[long] / 1000 - GAP_KEPT_S).sum()))

    def events(self, timeline: Timeline) -> Iterator[Event]:
        """Gives events in time order, their times moved by the timeline.

        None of them becomes a dead letter: before the first, a row that would has raised InputFileError, unless
        `Recording.check` has left it out.
        """
        self._check()
        sources = []
        if self._rooms is not None:
            sources.append(self._lifecycle(self._rooms))
        if self._viewer_events is not None:
            sources.append(self._visits(self._viewer_events))
        if self._chat is not None and self._found is not None:
            sources.append(self._messages(self._chat, self._found))
        merged = sources[0] if len(sources) == 1 else heapq.merge(*sources, key=itemgetter(0))
        for was_ms, topic, key, made in merged:
            self._position_ms = was_ms
            at_ms = timeline.moved(was_ms)
            yield Event(topic, key, b'%b,"at_ms":%d}' % (made, at_ms), at_ms)

    def _check(self) -> None:
        for file in (self._rooms, self._viewer_events, self._chat):
            if file is not None and not file.checked:
                file.check(LogCheck(file.kind, self._selection), skip_bad=False)
        if self._chat is not None and self._found is not None and self._rooms is None:
            check_derived(self._chat.path, self._found, [self._started(room) for room in range(len(self._found.names))])

    def _started(self, room: int) -> bytes:
        """The JSON of a derived room's start, up to its time."""
        assert self._found is not None
        streamer = self._found.streamers[room]
        known = asdict(self._described(streamer))
        return head(type="started", room=self._found.names[room], streamer=streamer, **known)

    def records(self) -> Iterator[Recorded]:
        """Gives the records of `events` at their recorded times; for chat alone without serialising them."""
        if self._chat is None or self._found is None or self._rooms is not None or self._viewer_events is not None:
            decode = {topic: Decoder(topic) for topic in (ROOMS, CHAT, VIEWER_EVENTS)}
            for event in self.events(Timeline()):
                yield event.at_ms, event.topic, decode[event.topic](event.value)
            return
        names, streamers = self._found.names, self._found.streamers
        for at_ms, what, number, viewer, text in self._derived(self._chat, self._found):
            self._position_ms = at_ms
            room, streamer = names[number], streamers[number]
            if what == "chat":
                yield at_ms, CHAT, ChatMessage(room=room, viewer=viewer, text=text, at_ms=at_ms)
            elif what == "started":
                known = self._described(streamer)
                yield (
                    at_ms,
                    ROOMS,
                    RoomStarted(
                        room=room,
                        streamer=streamer,
                        at_ms=at_ms,
                        title=known.title,
                        category=known.category,
                        language=known.language,
                    ),
                )
            elif what == "ended":
                yield at_ms, ROOMS, RoomEnded(room=room, at_ms=at_ms)
            else:
                action: Action = "enter" if what == "enter" else "chat"
                event_of = ViewerEvent(viewer=viewer, room=room, streamer=streamer, action=action, at_ms=at_ms)
                yield at_ms, VIEWER_EVENTS, event_of

    def close(self, at_ms: int) -> list[Event]:
        """Ends the derived rooms that are live when the replay is stopped; returns these events."""
        ends = [
            Event(ROOMS, key, b'{"type":"ended","room":%b,"at_ms":%d}' % (name, at_ms), at_ms)
            for key, name in self._open.items()
        ]
        self._open.clear()
        return ends

    def _messages(self, chat: Recording, found: RecordedRooms) -> Iterator[Untimed]:
        names = [quoted(name) for name in found.names]
        keys = [name.encode() for name in found.names]
        streamers = [quoted(streamer) for streamer in found.streamers]
        seen, who = "", quoted("")
        for was_ms, what, room, viewer, text in self._derived(chat, found):
            key, name = keys[room], names[room]
            if viewer is not seen:
                seen, who = viewer, quoted(viewer)
            if what == "chat":
                yield was_ms, CHAT, key, b'{"type":"chat","room":%b,"viewer":%b,"text":%b' % (name, who, quoted(text))
            elif what == "started":
                self._open[key] = name
                yield was_ms, ROOMS, key, self._started(room)
            elif what == "ended":
                self._open.pop(key)
                yield was_ms, ROOMS, key, b'{"type":"ended","room":%b' % name
            else:
                did = b'{"type":"viewer","viewer":%b,"room":%b,"streamer":%b,"action":"%b"'
                entered = did % (who, name, streamers[room], b"enter" if what == "enter" else b"chat")
                yield was_ms, VIEWER_EVENTS, viewer.encode(), entered

    def _derived(self, chat: Recording, found: RecordedRooms) -> Iterator[Derived]:
        """Gives a recording's chat, with the rooms and visits derived from it, in time order."""
        derives_rooms, derives_visits = self._rooms is None, self._viewer_events is None
        started = [False] * len(found.names)
        last_R = found.last_R.tolist()
        last: dict[str, tuple[int, int]] = {}  # viewer → room and time of their last message
        for row, (was_ms, room, viewer, text) in enumerate(self._rows_of(chat, found)):
            if derives_rooms and not started[room]:
                started[room] = True
                yield was_ms, "started", room, "", ""
            if derives_visits:
                was_in, said_ms = last.get(viewer, (-1, 0))
                if was_in != room or was_ms - said_ms >= SILENCE_MS:
                    yield was_ms, "enter", room, viewer, ""
                last[viewer] = (room, was_ms)
                yield was_ms, "visitor's chat", room, viewer, ""
            yield was_ms, "chat", room, viewer, text
            if derives_rooms and row == last_R[room]:
                yield was_ms, "ended", room, "", ""

    def _rows_of(self, chat: Recording, found: RecordedRooms) -> Iterator[tuple[int, int, str, str]]:
        """Gives time, room, viewer and text of the rows that are played, in time order."""
        done, passed = 0, 0
        for batch in chat.batches(("viewer", "text"), None if found.sorted else found.order_N):
            length = len(batch["at_ms"])
            upto = int(np.searchsorted(found.order_N, passed + length)) if found.sorted else done + length
            picked = found.order_N[done:upto] - passed if found.sorted else np.arange(length)
            viewers, texts = (batch[name].take(picked).to_pylist() for name in ("viewer", "text"))
            times, rooms = found.times_N[done:upto].tolist(), found.room_N[done:upto].tolist()
            yield from zip(times, rooms, viewers, texts, strict=True)
            done, passed = upto, passed + length
            if done == len(found.order_N):
                return

    def _described(self, streamer: str) -> Channel:
        return self._channels.get(streamer, Channel())

    def _lifecycle(self, file: Recording) -> Iterator[Untimed]:
        for was_ms, values in self._selected(file, ROOM_COLUMNS):
            yield was_ms, ROOMS, values["room"].encode(), lifecycle_head(values)

    def _visits(self, file: Recording) -> Iterator[Untimed]:
        for was_ms, values in self._selected(file, VISIT_COLUMNS):
            yield was_ms, VIEWER_EVENTS, values["viewer"].encode(), visit_head(values)

    def _selected(self, file: Recording, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Gives time and values of the rows that are played, in time order."""
        times = np.concatenate([np.empty(0, np.int64), *(batch["at_ms"] for batch in file.batches())])
        order = None if (np.diff(times) >= 0).all() else np.argsort(times, kind="stable")
        left = self._selection.limit
        for batch in file.batches(columns, order):
            kept = self._selection.mask(batch["at_ms"], None)
            names = [name for name in batch if name != "at_ms"]
            for index, values in enumerate(zip(*(batch[name].to_pylist() for name in names), strict=True)):
                if left != 0 and kept[index]:
                    left = left - 1 if left is not None else None
                    yield int(batch["at_ms"][index]), dict(zip(names, values, strict=True))

    def _times(self, file: Recording) -> np.ndarray[Any, np.dtype[np.int64]]:
        times = np.concatenate([np.empty(0, np.int64), *(batch["at_ms"] for batch in file.batches())])
        return times[self._selection.mask(times, None)][: self._selection.limit]


def read_channels(path: Path) -> dict[str, Channel]:
    """Reads titles, categories and languages by channel from a CSV with a column `channel`. Raises InputFileError."""
    file, table = RecordedFile(path), CommaSeparated()
    named = table.columns(file)
    if "channel" not in named:
        raise InputFileError(f"{path}: no column channel; expected channel and any of title, category, language")
    columns = ["channel", *(name for name in ("title", "category", "language") if name in named)]
    channels: dict[str, Channel] = {}
    for block in table.blocks(file, columns):
        for bad in block.bad:
            raise InputFileError(f"{path}: row {bad.row}: {bad.reason}")
        for channel, *known in zip(*(block.columns[name].to_pylist() for name in columns), strict=True):
            channels[channel] = Channel(**{name: value or "" for name, value in zip(columns[1:], known, strict=True)})
    return channels
