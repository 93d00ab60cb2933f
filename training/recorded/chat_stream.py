"""The event stream of recorded chat: rooms, viewers' events and messages, derived as a replay derives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streaming.events import ChatMessage, RoomId, RoomStarted, StreamerId, ViewerEvent, ViewerId
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS
from streaming.recorded.replay import Channel
from training.examples.event_stream import StreamRecord
from training.features.visit_kinds import SILENCE_MS, VisitKind
from training.recorded.chat import Chat

BLOCK = 16_384  # messages whose columns become Python's objects at a time
NOT_TOLD = Channel()  # a channel of which nothing is declared


def from_chat(
    chat: Chat, kind_M: NDArray[np.int8], known: Mapping[str, Channel], text_M: pa.StringArray | None = None
) -> Iterator[StreamRecord]:
    """The stream of a recording; offsets are the messages' places in it.

    A room is a broadcast: half an hour of a channel's silence parts two. known: titles, categories and languages by
    channel. text_M: of the messages; without, each has a text of its own, and so none is a duplicate.
    """
    rooms: list[tuple[int, RoomId]] = [(-SILENCE_MS, RoomId("")) for _ in chat.channels]  # last message, name
    for start in range(0, len(chat.at_us_M), BLOCK):
        block = slice(start, start + BLOCK)
        at_ms = (chat.at_us_M[block] // 1_000).tolist()
        texts = map(str, range(start, start + len(at_ms))) if text_M is None else text_M[block].to_pylist()
        columns = (chat.channel_M[block].tolist(), chat.viewer_M[block].tolist(), kind_M[block].tolist())
        for offset, (ms, number, who, kind, text) in enumerate(zip(at_ms, *columns, texts, strict=True), start):
            streamer, viewer = StreamerId(chat.channels[number]), ViewerId(chat.viewers[who])
            said_ms, room = rooms[number]
            if ms - said_ms >= SILENCE_MS:
                room = RoomId(f"{streamer}-{ms}")
                yield StreamRecord(ms, ROOMS, offset, _started(room, streamer, known.get(streamer, NOT_TOLD), ms))
            rooms[number] = ms, room
            if kind != VisitKind.NO_VISIT:
                entered = ViewerEvent(viewer=viewer, room=room, streamer=streamer, action="enter", at_ms=ms)
                yield StreamRecord(ms, VIEWER_EVENTS, offset, entered)
            wrote = ViewerEvent(viewer=viewer, room=room, streamer=streamer, action="chat", at_ms=ms)
            yield StreamRecord(ms, VIEWER_EVENTS, offset, wrote)
            yield StreamRecord(ms, CHAT, offset, ChatMessage(room=room, viewer=viewer, text=text, at_ms=ms))


def _started(room: RoomId, streamer: StreamerId, known: Channel, at_ms: int) -> RoomStarted:
    return RoomStarted(
        room=room,
        streamer=streamer,
        at_ms=at_ms,
        title=known.title,
        category=known.category,
        language=known.language,
    )
