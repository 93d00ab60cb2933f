"""A log, an archive of it and a clock for tests, and what all of them ask of these. Never asserts."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.archive.file import ArchiveFile
from streaming.archive.reader import Archive
from streaming.archive.store import Store, open_store
from streaming.archive.upkeep import compact, prune
from streaming.clock import ManualClock
from streaming.log.memory_log import MemoryLog
from streaming.log.topics import CHAT, HOUR_MS, TOPICS
from streaming.metrics import MemoryMetrics

START_MS = 480_000 * HOUR_MS  # the beginning of an hour in 2024
COUNTS = {topic: 2 if topic == CHAT else 1 for topic in TOPICS}
NUMBERS = itertools.count()


class World:
    """A log, an archive, and a clock that both go by."""

    def __init__(self, place: str | Store, **config: Any) -> None:
        self.clock = ManualClock(START_MS)
        self.log = MemoryLog(self.clock, COUNTS)
        self.metrics = MemoryMetrics()
        self.store = open_store(place) if isinstance(place, str) else place
        self.config = ArchiveConfig(**config)
        self._said = 0

    def say(self, count: int, partition: int = 0) -> None:
        sink = self.log.sink()
        for _ in range(count):
            self._said += 1
            message = {"type": "chat", "room": "r", "viewer": "v", "text": f"{self._said}", "at_ms": START_MS}
            sink.send(CHAT, b"r", json.dumps(message).encode(), partition)

    def archiver(self) -> Archiver:
        return Archiver(self.log, self.config, self.metrics, self.clock, archive=self.archive())

    def archive(self) -> Archive:
        return Archive(self.store, self.metrics)

    def run(self, store: Store | None = None) -> None:
        """Archives everything, without upkeep."""
        config = replace(self.config, compact=False, keep_hours=0)
        archive = Archive(store or self.store, self.metrics)
        Archiver(self.log, config, self.metrics, self.clock, archive=archive).run_once(threading.Event())

    def on_the_log(self, topic: str = CHAT) -> list[tuple[Any, ...]]:
        return [
            (p.index, r.offset, r.timestamp, r.key, r.value)
            for p in self.log.partitions(topic)
            for r in self.log.read(p, 0, 1_000_000)
        ]

    def upkeep(self) -> list[str]:
        now_ms = self.clock.now_ms()
        steps = [*prune(self.archive(), self.config, now_ms, self.metrics)]
        steps += compact(self.archive(), self.config, now_ms, self.metrics)
        return [step.action for step in steps]


def archived(archive: Archive, topic: str = CHAT, **span: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for batch in archive.read(topic, **span):
        columns = batch.set_column(2, "timestamp", batch.column("timestamp").cast(pa.int64())).to_pydict()
        rows += zip(*columns.values(), strict=True)
    return rows


def archive_parquet_save(store: Store, file: ArchiveFile, batch: Any) -> None:
    from streaming.archive.parquet import save  # noqa: PLC0415

    save(store, file, pa.Table.from_batches([batch]))


def fill(world: World, hours: int) -> None:
    """Four small files a partition and hour; the clock stands at the beginning of the next."""
    for _ in range(4 * hours):
        world.say(3)
        world.say(2, 1)
        world.run()
        world.clock.advance(HOUR_MS // 4)
