"""Server-sent events: read from lines, and what is needed to go on after a connection has ended. Never opens one.

The format is that of the HTML standard, section 9.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from tidecast_client.call import Call
from tidecast_client.errors import UnexpectedAnswer
from tidecast_client.types import Answer

T = TypeVar("T")

MEDIA = "text/event-stream"
SILENCE_S = 45.0  # three missed comments of stream.heartbeat_s, at most 15: the connection is dead
AGAIN_S = 1.0  # before a new connection, until the server says otherwise


class _Ended(msgspec.Struct):
    rooms: list[str] = []


@dataclass(frozen=True, slots=True)
class Event:
    """An event. name: `list`, `ended`, or one of a later release. id: with which a new stream goes on after it."""

    name: str
    id: str
    data: str

    @property
    def answer(self) -> Answer | None:
        """The list, of an event `list`. Raises UnexpectedAnswer."""
        return self.read(Answer) if self.name == "list" else None

    @property
    def ended(self) -> list[str]:
        """The rooms of the last list that have ended, of an event `ended`. Raises UnexpectedAnswer."""
        return self.read(_Ended).rooms if self.name == "ended" else []

    def read(self, kind: type[T]) -> T:
        """The data as JSON of a type. Raises UnexpectedAnswer."""
        try:
            return msgspec.json.decode(self.data, type=kind)
        except (msgspec.DecodeError, RecursionError) as err:
            message = f"an event {self.name} cannot be read: {err}"
            raise UnexpectedAnswer(message, status=200, text=self.data[:200]) from err


class Reading:
    """One stream over as many connections as it needs. For one thread or task."""

    def __init__(self, call: Call[Event]) -> None:
        self._call = call
        self._name, self._data, self._id = "", list[str](), ""
        self.again_s = AGAIN_S  # to wait before a new connection
        self.attempt = 0  # connections that have failed since the last event

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the next connection."""
        return {"accept": MEDIA, **({"last-event-id": self._id} if self._id else {})}

    def begin(self) -> Call[Any]:
        """The request of the next connection. What an earlier one has left unfinished is forgotten."""
        self._name, self._data = "", []
        return Call(self._call.method, self._call.path, Event, query=self._call.query, headers=self.headers)

    def take(self, line: str) -> Event | None:
        """Takes a line without its end; returns the event that it completes."""
        if not line:
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.again_s = int(value) / 1000
        return None  # also of a comment, and of what nobody knows

    def _complete(self) -> Event | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        if not data:
            return None
        self.attempt = 0
        return Event(name, self._id, "\n".join(data))
