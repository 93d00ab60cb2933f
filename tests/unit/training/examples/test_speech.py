"""Tests that training and workers make the same of a log in which streamers talk. Never trains."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

from actors.rooms.partition import RoomPartition, Tally
from streaming.archive.file import ArchiveFile, hour_of
from streaming.archive.parquet import save, table_of
from streaming.archive.reader import Archive
from streaming.archive.store import open_store
from streaming.clock import ManualClock
from streaming.events import ChatMessage, ProducerRecord, RoomStarted, Speech
from streaming.log.codec import encode
from streaming.log.dead_letter import DeadLetters
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import CHAT, DEAD_LETTER, HOUR_MS, ROOMS
from streaming.metrics import MemoryMetrics
from streaming.room.vectors import to_bytes
from streaming.room.window_config import WindowConfig
from tests.unit.training.examples.played_chat import Unseen
from training.examples.event_stream import from_archive
from training.examples.generator import ExamplePass
from training.examples.schema import ExamplesConfig

START_MS = 480_000 * HOUR_MS
ROOMS_OF = {"a": (0.0, 0.4), "b": (0.5, 0.0), "c": (0.3, 0.3)}  # messages and transcripts a second
SAID = ("we open with a gambit", "and the knight goes there", "KEKW", "", "thank you", "because the pawn is weak " * 20)
VECTOR = to_bytes(np.ones(4, np.float32))


def log(random: Random, seconds: int) -> list[MemoryRecord]:
    """What is said in three rooms, some of it late, early or twice."""
    records = [MemoryRecord(ROOMS, 0, n, START_MS, room.encode(), _started(room)) for n, room in enumerate(ROOMS_OF)]
    offset = 0
    for second in range(1, seconds):
        appended_ms = START_MS + second * 1_000
        for room, (writes, talks) in ROOMS_OF.items():
            at_ms = appended_ms + random.choice([0, 0, 0, -3_000, -40_000, -90_000, 9_000])
            said: list[ProducerRecord] = []
            if random.random() < writes:
                said.append(ChatMessage(room=room, viewer=random.choice("uvw"), text=random.choice(SAID), at_ms=at_ms))
            if random.random() < talks:
                said.append(Speech(room=room, text=random.choice(SAID), at_ms=at_ms))
            for record in said * random.choice([1, 1, 1, 2]):
                records.append(MemoryRecord(CHAT, 0, offset, appended_ms, room.encode(), encode(record)))
                offset += 1
    return records


def _started(room: str) -> bytes:
    return encode(RoomStarted(room=room, streamer=f"of {room}", at_ms=START_MS, title="a title"))


def archived(folder: Path, records: list[MemoryRecord]) -> Archive:
    store = open_store(str(folder))
    for topic in (ROOMS, CHAT):
        of_topic = [record for record in records if record.topic == topic]
        file = ArchiveFile(Partition(topic, 0), hour_of(START_MS), 0, len(of_topic) - 1)
        save(store, file, table_of(of_topic))
    return Archive(store)


def worker(records: list[MemoryRecord], config: WindowConfig) -> tuple[RoomPartition, dict[str, list[tuple[int, str]]]]:
    """The partition of a worker that reads the log, and what it has encoded for the slow mean, by room."""
    sink = MemoryLog(ManualClock(), {DEAD_LETTER: 1}).sink()
    owned, tally = RoomPartition(0, config, DeadLetters(sink, MemoryMetrics())), Tally()
    means: dict[str, list[tuple[int, str]]] = {room: [] for room in ROOMS_OF}
    for record in records:
        owned.apply(record.topic, [record], tally)
        for room, entry in owned.rooms.items():
            for segment in entry.aggregate.closed_segments():
                means[room].append((segment.index, segment.text))
                entry.aggregate.add_segment(segment.index, VECTOR, "e")
    return owned, means


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_training_makes_the_same_of_speech_as_a_worker(tmp_path: Path, seed: int, share: float) -> None:
    config, records = WindowConfig(speech_share=share), log(Random(seed), 600)
    passing = ExamplePass(ExamplesConfig(), chat_alone=False, window=config)
    assert list(passing.examples(from_archive(archived(tmp_path, records)), Unseen())) == []
    owned, live = worker(records, config)
    learned: dict[str, list[tuple[int, str]]] = {room: [] for room in ROOMS_OF}
    names = list(passing.rooms.numbers)
    for text in passing.rooms.texts:
        if text.segment >= 0 and text.in_mean:
            learned[names[text.room]].append((text.segment, text.text))
    assert learned == live
    assert bool(live["a"]) == (share > 0), "a room where only the streamer talks"
    for room in ROOMS_OF:
        ours, theirs = owned.rooms[room].aggregate, passing.rooms._rooms[room].aggregate
        assert ours.counts() == theirs.counts()
        assert ours.chat_text() == theirs.chat_text()
        assert (ours.state(0).speech_at_ms > 0) == (share > 0 and room != "b")  # type: ignore[union-attr]
