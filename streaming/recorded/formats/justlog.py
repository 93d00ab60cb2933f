"""Reads justlog's logs of Twitch chat: text, raw IRC, JSON. Never reads a ban as a message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from streaming.errors import InputFileError
from streaming.recorded.formats.chat_lines import COLUMNS, ChatLines, channel_of
from streaming.recorded.formats.format import BadRow, Block
from streaming.recorded.formats.json_lines import BLOCK_ROWS, decoded, mapping, quoted
from streaming.recorded.formats.recorded_file import Head, RecordedFile
from streaming.recorded.formats.time_text import microseconds

PRIVMSG = 1  # go-twitch-irc's MessageType, which justlog's JSON has as `type`
_TEXT = re.compile(r"\[(\d{4}-\d{1,2}-\d{1,2} \d{1,2}:\d\d:\d\d)\] (?:#(\S+) )?(?:(\S+): (.*))?")
_RAW = re.compile(
    r"(?:@(?P<tags>\S+) +)?:(?P<prefix>\S+) (?P<command>[A-Z]+|\d{3})(?: #(?P<channel>\S+))?(?: :(?P<text>.*))?"
)
_IRC = re.compile(r"(?:(?:@\S+ +)?:\S+ +(?!PRIVMSG )(?:[A-Z]+|\d{3})|PING)(?: .*)?")  # other messages of a server
_SENT = re.compile(r"(?:^|;)tmi-sent-ts=(\d{1,16})(?:;|$)")
_RECEIVED = re.compile(r"(?:^|;)rm-received-ts=(\d{1,16})(?:;|$)")  # set by services for recent messages
_DOCUMENT = re.compile(rb'\s*\{\s*"messages"\s*:')
_HEAD = re.compile(rb"\[\d{4}-\d{1,2}-\d{1,2} \d{1,2}:\d\d:\d\d\] |@\S+ +:\S+ [A-Z]+ #|:\S+!\S+ [A-Z]+ #")


class Justlog:
    """Logs of justlog and of its successor rustlog: raw IRC lines, or text and JSON of its server.

    Format: https://github.com/gempir/justlog. filelog/channellog.go writes raw IRC lines; api/server.go serves them as
    `[2006-01-2 15:04:05] #channel user: text`, as `?raw` and as `?json`. Times in text are UTC and whole seconds; raw
    and JSON have the tag tmi-sent-ts, in ms. viewer: the login name.
    """

    name = "justlog"
    title = "justlog"
    numbered = "line"
    typed = True
    sparse = False

    def recognises(self, head: Head) -> bool:
        lines = head.lines()[:20]
        if lines and lines[0].startswith(b"{"):
            first = head.data
            return b'"displayName"' in first and b'"timestamp"' in first and b'"text"' in first
        return any(_HEAD.match(line) for line in lines)

    def columns(self, file: RecordedFile) -> frozenset[str]:
        return COLUMNS

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        chat, channel = ChatLines(), channel_of(file)
        if _DOCUMENT.match(file.head().data):
            yield from _document(file, chat, channel)
            return
        for lines in file.line_blocks():
            for row, line in enumerate(lines.lines, lines.first):
                if line.strip():
                    _read(chat, row, line.rstrip(b"\r"), channel)
            yield chat.block()


def _read(chat: ChatLines, row: int, line: bytes, channel: str) -> None:
    if line.startswith(b"{"):
        message = decoded(line, None)
        if isinstance(message, dict):
            _add_json(chat, row, message, channel)
        else:
            chat.refuse(row, "not JSON", f"is not JSON: {quoted(line)}")
        return
    text = chat.text_of(row, line)
    if text is None:
        return
    raw = _RAW.fullmatch(text) if line[:1] in b"@:" else None
    if raw is not None:
        _add_raw(chat, row, raw, channel)
        return
    if _IRC.fullmatch(text):
        chat.leave_out()
        return
    said = _TEXT.fullmatch(text) if line.startswith(b"[") else None
    if said is not None and said[3] is not None:
        try:
            chat.add(row, microseconds(said[1]), said[2] or channel, said[3], said[4])
        except ValueError as err:
            chat.refuse(row, "not a time", str(err))
    elif line.startswith(b"[") and _TEXT.match(text):
        chat.leave_out()
    else:
        chat.refuse(row, "not a line of justlog", f"is not a line of justlog: {quoted(line)}")


def _add_raw(chat: ChatLines, row: int, raw: re.Match[str], channel: str) -> None:
    if raw["command"] != "PRIVMSG":
        chat.leave_out()
        return
    if raw["text"] is None:
        chat.refuse(row, "a cut line", "has no text: the line is cut")
        return
    sent = _SENT.search(raw["tags"] or "") or _RECEIVED.search(raw["tags"] or "")
    viewer = raw["prefix"].partition("!")[0]
    chat.add(row, int(sent[1]) * 1_000 if sent else None, raw["channel"] or channel, viewer, raw["text"])


def _add_json(chat: ChatLines, row: int, message: dict[str, Any], channel: str) -> None:
    viewer = message.get("username") or message.get("displayName")
    if message.get("type", PRIVMSG) != PRIVMSG or not viewer:
        chat.leave_out()
        return
    sent = str(mapping(message.get("tags")).get("tmi-sent-ts") or "")
    at_us = int(sent) * 1_000 if sent.isascii() and sent.isdecimal() and len(sent) <= 16 else None
    if at_us is None and isinstance(message.get("timestamp"), str):
        try:
            at_us = microseconds(message["timestamp"])
        except ValueError as err:
            chat.refuse(row, "not a time", f"timestamp: {err}")
            return
    chat.add(row, at_us, message.get("channel") or channel, viewer, message.get("text"))


def _document(file: RecordedFile, chat: ChatLines, channel: str) -> Iterator[Block]:
    """Reads a file of one object with all messages. Raises InputFileError: it is cut off, or no JSON."""
    data = b"".join(file.pieces())
    try:
        messages = mapping(msgspec.json.decode(data)).get("messages")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        bad: list[BadRow] = []
        messages = mapping(decoded(data, bad)).get("messages")  # Python's parser accepts half a surrogate pair
        if bad:
            why = bad[0].reason if bad[0].kind == "not UTF-8" else "is not whole JSON: it is cut or damaged"
            raise InputFileError(f"{file.path}: {why}") from None
    if not isinstance(messages, list):
        raise InputFileError(f"{file.path}: messages is not a list; is it what justlog answers to ?json")
    for row, message in enumerate(messages, 1):
        if isinstance(message, dict):
            _add_json(chat, row, message, channel)
        else:
            chat.refuse(row, "not a JSON object", "is not a JSON object")
        if row % BLOCK_ROWS == 0:
            yield chat.block()
    yield chat.block()
