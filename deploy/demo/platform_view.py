"""The platform as producers report it, read outside the system: which rooms have ended, who is active.

It reads the producers' topics. Never reads what Tidecast makes of them, and never writes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from streaming.errors import RecordError
from streaming.events import RoomEnded, RoomStarted, ViewerEvent
from streaming.log.codec import Decoder
from streaming.log.log import Log, Record
from streaming.log.topics import ROOMS, VIEWER_EVENTS

POLL_S = 0.1
MAX_VIEWERS = 50_000  # further viewers are left out: a sample is enough to ask for


class PlatformView:
    """The producers' records since `run` began. Any thread may ask; one thread runs it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._ended_at_ms: dict[str, int] = {}
        self._live: set[str] = set()
        self._events_of: Counter[str] = Counter()
        self._decoders = {ROOMS: Decoder(ROOMS), VIEWER_EVENTS: Decoder(VIEWER_EVENTS)}

    def run(self, stop: threading.Event) -> None:
        """Follows the topics until `stop`. Raises LogError."""
        partitions = [partition for topic in self._decoders for partition in self._log.partitions(topic)]
        source = self._log.reader(partitions, "beginning")
        try:
            while not stop.is_set():
                for records in source.poll(POLL_S).records.values():
                    self.apply(records)
        finally:
            source.close()

    def apply(self, records: Sequence[Record]) -> None:
        """Applies records of one partition."""
        with self._lock:
            for record in records:
                try:
                    event = self._decoders[record.topic](record.value or b"")
                except RecordError:
                    continue  # the workers count it and send it to the dead letters
                if isinstance(event, RoomEnded):
                    self._live.discard(event.room)
                    self._ended_at_ms.setdefault(event.room, record.timestamp)
                elif isinstance(event, RoomStarted):
                    self._live.add(event.room)
                    self._ended_at_ms.pop(event.room, None)
                elif isinstance(event, ViewerEvent) and (
                    event.viewer in self._events_of or len(self._events_of) < MAX_VIEWERS
                ):
                    self._events_of[event.viewer] += 1

    def ended_at_ms(self, room: str) -> int | None:
        """The broker's time of the room's end, None where there is none."""
        return self._ended_at_ms.get(room)

    def live(self) -> int:
        """Number of rooms that started and have not ended."""
        return len(self._live)

    def ended(self) -> int:
        """Number of rooms that ended."""
        return len(self._ended_at_ms)

    def active(self, limit: int) -> list[str]:
        """The viewers with the most events, at most `limit`."""
        with self._lock:
            return [viewer for viewer, _ in self._events_of.most_common(limit)]
