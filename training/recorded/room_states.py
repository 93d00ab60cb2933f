"""The RoomStates that a recording's channels would have as chat passes. Never scores, never looks ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from streaming.events import RoomId, RoomState, StreamerId
from streaming.recorded.replay import Channel
from streaming.room.activity import ActivityAggregate, ActivityBook
from streaming.room.language import guess_language
from streaming.room.recent import RecentMessages
from streaming.room.slice import HEARD_PER_VIEWER, SLICE_MS
from training.features.visit_kinds import LIVE_MS, SILENCE_MS
from training.recorded.content_timeline import ContentTimeline


class _Room:
    """A room: one broadcast of a channel."""

    __slots__ = ("_counted", "_slice", "activity", "chat_ms", "messages", "name", "recent", "started_ms")

    def __init__(self, name: str, at_ms: int) -> None:
        self.name = RoomId(name)
        self.started_ms = self.chat_ms = at_ms
        self.messages = 0
        self.recent = RecentMessages()
        self.activity = ActivityAggregate()
        self._slice = -1  # the newest slice, 5 s
        self._counted: dict[int, int] = {}  # viewer → messages that counted there

    def hear(self, viewer: int, at_ms: int) -> None:
        """Counts a message; in time order."""
        index = at_ms // SLICE_MS
        if index != self._slice:
            self._slice, self._counted = index, {}
        counted = self._counted.get(viewer, 0)
        is_heard = counted < HEARD_PER_VIEWER
        if is_heard:
            self._counted[viewer] = counted + 1
        self.recent.add({index: 1}, {index: int(is_heard)})


class RecordedStates:
    """The states of C channels' rooms. A room is a broadcast: half an hour of silence parts two.

    Entries and leaves come from the book that the viewers' profiles fill, as a RoomWorker gets them from
    `room-activity`.
    """

    def __init__(
        self,
        channels: Sequence[str],
        known: Mapping[str, Channel],
        content: ContentTimeline | None,
    ) -> None:
        """known: titles, categories, languages by channel. content: None: no vectors, and no guessed languages."""
        self.book = ActivityBook()
        self._channels = channels
        self._described = [known.get(channel, Channel()) for channel in channels]
        self._content = content
        self._guessed: dict[int, str] = {}  # languages by segment
        self._rooms: dict[int, _Room] = {}
        self._channel_of: dict[str, int] = {}
        self._changed: set[int] = set()
        self._records = 0  # activity records applied

    def room(self, channel: int, at_ms: int) -> RoomId:
        """The room of a message, which begins with it if there was silence."""
        room = self._rooms.get(channel)
        if room is None or at_ms - room.chat_ms >= SILENCE_MS:
            room = self._rooms[channel] = _Room(f"{self._channels[channel]}-{at_ms}", at_ms)
            self._channel_of[room.name] = channel
        return room.name

    def said(self, channel: int, viewer: int, at_ms: int) -> None:
        """Applies a message in the channel's room."""
        room = self._rooms[channel]
        room.chat_ms = at_ms
        room.messages += 1
        room.hear(viewer, at_ms)
        self._changed.add(channel)

    def aggregate(self) -> None:
        """Applies what viewers did since the last call."""
        for activity in self.book.drain():
            channel = self._channel_of[activity.room]
            room = self._rooms[channel]
            if room.name == activity.room:  # else somebody left a broadcast that is over
                room.activity.apply(activity, self._records, activity.bucket_ms)
                self._records += 1
                self._changed.add(channel)

    def is_live(self, channel: int, at_ms: int) -> bool:
        """Whether the channel has a message in the five minutes before."""
        room = self._rooms.get(channel)
        return room is not None and at_ms - room.chat_ms <= LIVE_MS

    def current(self, channel: int) -> RoomId:
        """The channel's newest room."""
        return self._rooms[channel].name

    def take_changed(self, at_us: int) -> list[RoomState]:
        """The states of live rooms that changed since the last call."""
        self.aggregate()
        changed = [channel for channel in sorted(self._changed) if self.is_live(channel, at_us // 1_000)]
        self._changed.clear()
        return self._states(changed, at_us)

    def _states(self, channels: Sequence[int], at_us: int) -> list[RoomState]:
        if self._content is None or not channels:
            return [self._state(channel, b"", "") for channel in channels]
        now_N = self._content.rows(np.array(channels, np.intp), at_us).now_N
        vectors_ND = self._content.now_RD[now_N]
        return [
            self._state(channel, b"" if np.isnan(now_D[0]) else now_D.tobytes(), self._language(int(row)))
            for channel, row, now_D in zip(channels, now_N, vectors_ND, strict=True)
        ]

    def _language(self, row: int) -> str:
        """The language guessed from a segment, "" where the row is a title's."""
        assert self._content is not None
        texts = self._content.segments.texts
        if row >= len(texts):
            return ""
        if row not in self._guessed:
            self._guessed[row] = guess_language(texts[row])
        return self._guessed[row]

    def _state(self, channel: int, vector: bytes, spoken: str) -> RoomState:
        room, described = self._rooms[channel], self._described[channel]
        sums = room.activity.sums
        return RoomState(
            room=room.name,
            streamer=StreamerId(self._channels[channel]),
            status="live",
            title=described.title,
            category=described.category,
            language=described.language or spoken or guess_language(described.title),
            tags=(),
            mature=False,
            started_at_ms=room.started_ms,
            described_at_ms=room.started_ms,
            messages=room.messages,
            chat_arrived_ms=room.chat_ms,
            entries_arrived_ms=room.chat_ms,
            chat_at_ms=room.chat_ms,
            entered=sums.entered,
            newcomers=sums.newcomers,
            left=sums.left,
            first_entered=sums.first_entered,
            recent=room.activity.recent(),
            recent_messages=room.recent.counts(),
            recent_heard=room.recent.heard(),
            recent_messages_ms=room.recent.newest_ms,
            arrivals=room.activity.arrivals,
            chat_vector=vector,  # the title is mixed in already
        )
