"""A replica whose lists are watched, and clients that read, or do not. No test is here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.recommend.impressions import Impressions
from actors.recommend.recommender import Recommender
from actors.recommend.schema import Query
from actors.settings import RecommendConfig
from actors.streams.table_changes import TableChanges
from deploy.config.stream_settings import StreamConfig
from deploy.http.streams.streams import Streams
from streaming.log.topics import ROOM_STATES
from streaming.metrics import MemoryMetrics
from tests.unit.actors.replica import AXES, Replica, axis

PATIENCE_S = 20.0
QUICK = StreamConfig(period_s=0.01, hold_ms=0, share=0.9)
HELD = StreamConfig(period_s=0.01, hold_ms=10_000_000, share=0.9)  # nothing that can wait is pushed


@dataclass(frozen=True)
class Event:
    """An event as a client reads it."""

    kind: str
    id: str
    data: Any

    @property
    def rooms(self) -> list[str]:
        return [one if isinstance(one, str) else one["room"] for one in self.data["rooms"]]


class Client:
    """Reads a stream until it is closed."""

    def __init__(self, streams: Streams, query: Query, last_event_id: str = "", **wishes: Any) -> None:
        self.text = b""
        self.reads = asyncio.Event()
        self.reads.set()
        self.stream = streams.open(query, last_event_id, **wishes)
        self.task = asyncio.create_task(streams.run(self.stream, self._write))

    async def _write(self, body: bytes) -> None:
        await self.reads.wait()
        self.text += body

    @property
    def events(self) -> list[Event]:
        found = []
        for block in self.text.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
            if "event" in fields:
                found.append(Event(fields["event"], fields["id"], json.loads(fields["data"])))
        return found

    @property
    def lists(self) -> list[list[str]]:
        return [event.rooms for event in self.events if event.kind == "list"]

    @property
    def heartbeats(self) -> int:
        return self.text.count(b"\n:\n")


class Watched:
    """A replica with ten rooms, of which the last are at the end of everybody's list, and its streams."""

    def __init__(self, config: StreamConfig = QUICK, num_rooms: int = 10) -> None:
        self.replica = Replica()
        self.metrics = MemoryMetrics()
        self.impressions = Impressions(1.0, 1_000)
        tables, clock = self.replica.tables, self.replica.clock
        self.replica.recommender = Recommender(
            tables, RecommendConfig(renew_ms=1), self.metrics, clock, self.impressions
        )
        self.streams = Streams(self.replica.recommender, TableChanges(tables), config, self.metrics)
        for number in range(num_rooms):
            self.room(f"room-{number}", entered=100 - 10 * number, title_vector=axis(number % AXES))

    def client(self, viewer: str = "v", last_event_id: str = "", limit: int = 5, **wishes: Any) -> Client:
        return Client(self.streams, Query(viewer=viewer, limit=limit, **wishes), last_event_id)

    def room(self, room: str, *, entered: int, title_vector: bytes = axis(1)) -> None:
        """A newer state of a room with so many viewers, by which rooms are ordered for a stranger."""
        self.replica.clock.advance(2)  # ms: global lists are kept for one
        self.replica.room(room, title_vector=title_vector, entered=entered)

    def end(self, room: str) -> None:
        self.replica.send(ROOM_STATES, room, None)

    async def looked(self, times: int = 3) -> None:
        """Waits until so many more lists were computed and were no news."""
        wanted = self.metrics.value("stream_looks_total", outcome="same") + times

        def seen() -> bool:
            self.room("room-9", entered=10)  # something changes, and it is no news
            return self.metrics.value("stream_looks_total", outcome="same") >= wanted

        await until(seen)


async def until(holds: Callable[[], object]) -> None:
    """Lets the loop work until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.002)
