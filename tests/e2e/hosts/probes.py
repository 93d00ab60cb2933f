"""A room in each partition in which somebody writes every second: by its age in answers one sees how fresh they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streaming.events import ChatMessage, RoomStarted
from streaming.log.codec import encode
from streaming.log.partitioner import partition_of
from streaming.log.topics import CHAT, ROOMS
from streaming.recorded.playback import Event

TICK_MS = 1_000
WORDS = ("cards", "chess", "a new boss", "the weather", "cooking", "speed runs", "guitars", "maps")


class Probes:
    """The rooms, as a platform beside the simulated one. `rooms`: their ids, one for each partition."""

    def __init__(self, partitions: int) -> None:
        self.rooms = [_room(at, partitions) for at in range(partitions)]
        self._started = False

    def ticks(self, start_ms: int) -> Iterator[Sequence[Event]]:
        """Events second by second, without end: the rooms start, once, and somebody writes in each."""
        if not self._started:
            yield [self._start(room, start_ms) for room in self.rooms]
            self._started = True
        at_ms = start_ms
        while True:
            at_ms += TICK_MS
            yield [self._message(room, at_ms) for room in self.rooms]

    def _start(self, room: str, at_ms: int) -> Event:
        started = RoomStarted(room=room, streamer=f"of-{room}", title=room, category="Just Chatting", at_ms=at_ms)
        return Event(ROOMS, room.encode(), encode(started), at_ms)

    def _message(self, room: str, at_ms: int) -> Event:
        text = f"{WORDS[at_ms // TICK_MS % len(WORDS)]} again, number {at_ms // TICK_MS}"
        return Event(
            CHAT, room.encode(), encode(ChatMessage(room=room, viewer="prober", text=text, at_ms=at_ms)), at_ms
        )


def _room(partition: int, partitions: int) -> str:
    return next(
        name for name in (f"probe-{n}" for n in range(1_000)) if partition_of(name.encode(), partitions) == partition
    )
