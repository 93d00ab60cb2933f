"""Two installations in memory, an export between them, and records to put there. No test is here."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from deploy.transfer.export import Exporter
from deploy.transfer.kept import EVERYTHING, What
from deploy.transfer.load import Importer, Loaded
from deploy.transfer.manifest import Encoding, Manifest
from streaming.archive.reader import Archive
from streaming.archive.store import open_store
from streaming.clock import ManualClock
from streaming.events import (
    RoomId,
    RoomState,
    StreamerId,
    ViewerErased,
    ViewerId,
    ViewerProfile,
)
from streaming.log.codec import Decoder, encode
from streaming.log.memory_log import MemoryLog
from streaming.log.restore import last_values
from streaming.log.topics import ROOM_STATES, TOPICS, VIEWER_EVENTS, VIEWER_PROFILES
from training.registry.registry import Registry

ENCODING = Encoding(version="test", dimension=6)
NOW_MS = 1_700_000_000_000
VECTOR = np.eye(6, dtype="<f2")[2].tobytes()


class Told:
    """Progress that remembers its stages."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.done = 0.0

    def stage(self, text: str, unit: str = "", total: float | None = None) -> None:
        self.stages.append(text)

    def advance(self, by: float) -> None:
        self.done += by


class Installation:
    """A log with every topic, and a registry. partitions: of topics by room and by viewer."""

    def __init__(self, folder: Path, partitions: int, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock(NOW_MS)
        counts = {name: 1 if topic.partitioning == "single" else partitions for name, topic in TOPICS.items()}
        self.log = MemoryLog(self.clock, counts)
        self.registry = Registry(open_store(str(folder)), self.log, self.clock)
        self.stop = threading.Event()
        self.told = Told()

    def profile(self, viewer: str, at_ms: int = NOW_MS, **fields: Any) -> None:
        given: dict[str, Any] = {"visits": (), "habits": (), "room": None, "total_visits": 1, "total_events": 1}
        times = {"first_at_ms": at_ms, "last_at_ms": at_ms, "recent_events": (), "appended_ms": at_ms}
        profile = ViewerProfile(viewer=ViewerId(viewer), **(given | times | fields))
        self.send(VIEWER_PROFILES, viewer, encode(profile))

    def room(self, room: str, at_ms: int = NOW_MS, **fields: Any) -> None:
        state = RoomState(
            room=RoomId(room), streamer=StreamerId("s"), status="live", title=room, category="", language="en",
            tags=(), mature=False, started_at_ms=at_ms, described_at_ms=at_ms, published_ms=at_ms, **fields,
        )  # fmt: skip
        self.send(ROOM_STATES, room, encode(state))

    def erased(self, viewer: str, at_ms: int) -> None:
        self.send(VIEWER_EVENTS, viewer, encode(ViewerErased(viewer=viewer, at_ms=at_ms)))

    def send(self, topic: str, key: str, value: bytes | None) -> None:
        sink = self.log.sink()
        sink.send(topic, key.encode(), value)
        sink.flush()

    def values(self, topic: str) -> dict[str, Any]:
        decode = Decoder(topic)
        found = [last_values(self.log, partition) for partition in self.log.partitions(topic)]
        return {key.decode(): decode(value) for one in found for key, value in one.items()}

    def export(self, place: Path, what: tuple[What, ...] = EVERYTHING, encoding: Encoding = ENCODING) -> Manifest:
        exporter = Exporter(self.log, open_store(str(place)), self.clock, self.told, self.stop)
        return exporter.run(what, encoding, self.registry, "test.")

    def load(
        self,
        place: Path,
        what: tuple[What, ...] = EVERYTHING,
        encoding: Encoding = ENCODING,
        archive: Archive | None = None,
    ) -> dict[What, Loaded]:
        done: dict[What, Loaded] = {}
        importer = Importer(self.log, open_store(str(place)), self.clock, self.told, self.stop)
        importer.run(what, encoding, self.registry, archive, done)
        return done
