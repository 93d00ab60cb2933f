"""The pages of the demo's guests: asks for each who looks at a list, and writes where it leads them. Never shows one.

Guests are what a platform with a page of ours has: their events name the answer and the position, so that `tidecast
report` has something to say of a demo.
"""

from __future__ import annotations

import threading

from deploy.demo.asker import Asker
from streaming.clock import Clock
from streaming.errors import LogError
from streaming.log.codec import encode
from streaming.log.log import Sink
from streaming.log.topics import VIEWER_EVENTS
from streaming.simulated.guests import Guests, ListedRoom

GUESTS = 40  # some two answers a second: in a room for 20 s, then looking every 6 s
TURN_S = 0.1


class GuestPages:
    """The guests' requests and events. For one thread."""

    def __init__(self, asker: Asker, sink: Sink, clock: Clock, limit: int) -> None:
        """limit: rooms on a page."""
        self._asker = asker
        self._sink = sink
        self._clock = clock
        self._limit = limit
        self._guests = Guests(GUESTS, clock.now_ms())

    def run(self, stop: threading.Event) -> None:
        """Serves pages until `stop`. While Kafka is away, guests wait."""
        while not stop.wait(TURN_S):
            try:
                self.turn()
            except LogError:  # the demo says that Kafka is away; what was sent is sent again by the client
                continue
        self._sink.close()

    def turn(self) -> None:
        """Writes what guests have done by now, and serves a page to those who look at one. Raises LogError."""
        for event in self._guests.until(self._clock.now_ms()):
            self._sink.send(VIEWER_EVENTS, event.viewer.encode(), encode(event))
        self._sink.flush()
        while (viewer := self._guests.looking()) is not None:
            answer = self._asker.ask(viewer, self._limit)
            rooms = [] if answer is None else [ListedRoom(item.room, item.streamer) for item in answer.rooms]
            self._guests.see("" if answer is None else answer.request_id, rooms, self._clock.now_ms())
