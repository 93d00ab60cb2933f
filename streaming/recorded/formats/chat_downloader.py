"""Reads files of chat-downloader, of Twitch and YouTube. Never counts a ticker as a message."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from streaming.recorded.formats.chat_lines import COLUMNS, ChatLines, channel_of
from streaming.recorded.formats.format import Block
from streaming.recorded.formats.json_lines import Fields, as_lines, mapping
from streaming.recorded.formats.recorded_file import Head, RecordedFile

FIELDS = ("timestamp", "message", "message_type", "author")
_TOLD_AGAIN = ("ticker_", "banner")  # repetitions of paid messages, which are in the chat as well
_ABOUT_OTHERS = ("ban", "delete", "clear", "mark", "remove", "mode_", "room_", "viewer_engagement", "placeholder")


class ChatDownloader:
    """Items of chat-downloader, in an array, as its JSON writer leaves it, or one per line.

    Format: https://github.com/xenova/chat-downloader, sites/twitch.py, sites/youtube.py, "Chat Items" of its README.
    timestamp: microseconds since 1970. viewer: author.id, else author.name. Items do not name the channel.
    """

    name = "chat-downloader"
    title = "chat-downloader"
    numbered = "row"
    typed = True
    sparse = False

    def recognises(self, head: Head) -> bool:
        data = head.data.lstrip()
        if data[:1] not in (b"[", b"{"):
            return False
        named = (
            b'"message"', b'"message_id"', b'"message_type"', b'"time_in_seconds"', b'"time_text"', b'"action_type"',
        )  # fmt: skip
        return b'"author"' in data and sum(name in data for name in named) >= 2

    def columns(self, file: RecordedFile) -> frozenset[str]:
        return COLUMNS

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        channel, chat, fields = channel_of(file), ChatLines(), Fields(FIELDS)
        for lines in as_lines(file):
            read = fields.block(lines)
            for one in read.bad:
                chat.refuse(one.row, one.kind, one.reason)
            values = zip(read.rows_N.tolist(), *(read.columns[name] for name in FIELDS), strict=True)
            for row, timestamp, message, kind, author in values:
                _add(
                    chat, row, channel=channel, timestamp=timestamp, message=message, kind=kind, author=mapping(author)
                )
            yield chat.block()


def _add(chat: ChatLines, row: int, *, channel: str, timestamp: Any, message: Any, kind: Any, author: Any) -> None:
    kind = kind if isinstance(kind, str) else "text_message"
    viewer = author.get("id") or author.get("name") or author.get("display_name") or None
    told_again, about_others = kind.startswith(_TOLD_AGAIN), kind.startswith(_ABOUT_OTHERS)
    if told_again or about_others or viewer is None or (message is None and not kind.endswith("_message")):
        chat.leave_out()
        return
    chat.add(row, _whole(timestamp), channel, viewer, message)


def _whole(timestamp: Any) -> int | None:
    """Converts to a whole number of microseconds; None where it is no number."""
    if isinstance(timestamp, str) and timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 20:
        return int(timestamp)
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | float) or not math.isfinite(timestamp):
        return None
    return int(timestamp)
