"""One open stream of server-sent events: what its client has, and what waits to be sent. Never computes a list.

Nothing is queued for a client that does not read: what it missed is in the next list. The format is that of the HTML
standard, section 9.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import msgspec

from actors.recommend.schema import Query
from actors.streams import event_id
from deploy.http.route import Write
from streaming.events import ViewerId

HEARTBEAT = b":\n\n"
Closed = Literal["left", "over", "blocked", "ending"]


class EventStream:
    """A stream of one client. For one event loop."""

    def __init__(self, query: Query, held: tuple[int, ...] | None, retry_ms: int, patience_s: float) -> None:
        """held: hashes of the rooms that the client has, in order; None: nothing is known.

        retry_ms: after which the client comes back when the stream has ended.
        """
        self.query = query
        self.viewer = ViewerId(query.viewer)
        self.question = event_id.question_of(query)
        self.held = held
        self.resumes = held is not None
        self.had_list = False  # whether this stream has sent a list, or the client has had one
        self.is_urgent = True
        self.cause = "resumed" if self.resumes else "first"
        self.differs_since_s = 0.0  # since when the list is another than the client's; 0: it is not
        self.looked_s = 0.0
        self.has_failed = False  # its list could not be computed
        self.lasts_s = 0.0  # at most
        self.closed: Closed | None = None
        self._retry = b"retry: %d\n\n" % retry_ms
        self._patience_s = patience_s
        self._waiting: list[bytes] = [self._retry]
        self._is_writing = False
        self._wake = asyncio.Event()
        self._wake.set()

    @property
    def is_free(self) -> bool:
        """Whether the client has taken all that was sent."""
        return not (self._is_writing or self._waiting or self.closed)

    def push(self, rooms: tuple[int, ...], answer: bytes) -> None:
        """Sends a list. rooms: hashes, in order. answer: as JSON."""
        self.held, self.had_list, self.differs_since_s = rooms, True, 0.0
        self._send(b"event: list\nid: %b\ndata: %b\n\n" % (self._id(), answer))

    def take_out(self, rooms: Sequence[int], names: Sequence[str]) -> None:
        """Sends that rooms of the client's list have ended. rooms: their hashes; names: their ids."""
        gone = set(rooms)
        self.held = tuple(room for room in self.held or () if room not in gone)
        self._send(b"event: ended\nid: %b\ndata: %b\n\n" % (self._id(), msgspec.json.encode({"rooms": names})))

    def beat(self) -> None:
        """Sends a comment, so that nobody on the way takes the stream for dead."""
        self._send(HEARTBEAT)

    def close(self, reason: Closed) -> None:
        """Ends the stream. The client comes back by itself, with the id of the list that it has."""
        if self.closed is None:
            self.closed = reason
            self._wake.set()

    async def run(self, write: Write) -> None:
        """Writes until the stream is closed, or the client does not read for too long."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            if waiting and self.closed != "left":
                self._is_writing = True
                try:
                    async with asyncio.timeout(self._patience_s):
                        await write(b"".join(waiting))
                except TimeoutError:
                    self.close("blocked")
                    return
                finally:
                    self._is_writing = False
            if self.closed is not None:
                return

    def _id(self) -> bytes:
        return event_id.write(self.question, self.held or ()).encode()

    def _send(self, event: bytes) -> None:
        self._waiting.append(event)
        self._wake.set()
