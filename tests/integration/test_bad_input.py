"""Tests of what workers on a real Kafka do with bad input: it is counted or dead-lettered, and nothing else is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.profiles.worker import ProfileWorker
from actors.rooms.worker import RoomWorker
from actors.settings import ProfileWorkerConfig, RoomWorkerConfig
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.events import DeadLetter
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import Decoder
from streaming.log.log import Sink
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, DEAD_LETTER, ROOMS, VIEWER_EVENTS, TopicsConfig
from streaming.metrics import MemoryMetrics
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from tests.fake_encoder import FAKE_VERSION, InstantEncoder, fake_vectors
from tests.reference import (
    expected_profiles,
    expected_states,
    published_profiles,
    published_states,
    records_of,
)

PATIENCE_S = 60.0
NOW_MS = time.time_ns() // 1_000_000
DAY_MS = 86_400_000
MEGABYTE = "é" * 500_000  # a million bytes


@dataclass
class World:
    """Workers on a Kafka, and what they counted."""

    log: KafkaLog
    sink: Sink
    metrics: MemoryMetrics = field(default_factory=MemoryMetrics)

    def write(self, topic: str, *values: bytes | dict[str, Any], key: str) -> None:
        for value in values:
            self.sink.send(topic, key.encode(), value if isinstance(value, bytes) else json.dumps(value).encode())
        self.sink.flush()

    def letters(self) -> list[DeadLetter]:
        decode = Decoder(DEAD_LETTER)
        return [decode(r.value or b"") for p in self.log.partitions(DEAD_LETTER) for r in records_of(self.log, p)]

    def state(self, room: str) -> dict[str, Any]:
        return published_states(self.log).get(room, {})


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert holds()


@contextmanager
def running(worker: RoomWorker | ProfileWorker) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    try:
        yield
        assert thread.is_alive(), "bad input ended the loop"
    finally:
        stop.set()
        thread.join(PATIENCE_S)


@pytest.fixture
def world(kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str) -> Iterator[World]:
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix, room_partitions=1, viewer_partitions=1))
    world = World(kafka_log, kafka_log.sink())
    rooms = RoomWorker(
        kafka_log,
        "0",
        config=RoomWorkerConfig(),
        window=WindowConfig(),
        encoder=InstantEncoder(),
        metrics=world.metrics,
        clock=SystemClock(),
    )
    profiles = ProfileWorker(
        kafka_log,
        "0",
        config=ProfileWorkerConfig(),
        profile=ProfileConfig(),
        metrics=world.metrics,
        clock=SystemClock(),
    )
    with running(rooms), running(profiles):
        yield world
    world.sink.close()


def started(room: str, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "type": "started", "room": room, "streamer": f"s-{room}", "at_ms": NOW_MS, **fields}


def ended(room: str, at_ms: int) -> dict[str, Any]:
    return {"v": 1, "type": "ended", "room": room, "at_ms": at_ms}


def said(room: str, text: str, at_ms: int = NOW_MS, viewer: str = "v") -> dict[str, Any]:
    return {"v": 1, "type": "chat", "room": room, "viewer": viewer, "text": text, "at_ms": at_ms}


def did(viewer: str, room: str, action: str, at_ms: int = NOW_MS, **fields: Any) -> dict[str, Any]:
    event = {"v": 1, "type": "viewer", "viewer": viewer, "room": room, "streamer": f"s-{room}", "action": action}
    return {**event, "at_ms": at_ms, **fields}


UNDECODABLE = {
    "not JSON": (b"\xff\xfe rubbish", "malformed"),
    "nothing": (b"", "malformed"),
    "a list": (b"[]", "malformed"),
    "NaN": (b'{"v":1,"type":"chat","room":"good","viewer":"v","text":"t","at_ms":NaN}', "malformed"),
    "a wrong type": (json.dumps(said("good", "t") | {"text": [7]}).encode(), "malformed"),
    "a missing field": (b'{"v":1,"type":"chat","room":"good"}', "malformed"),
    "an empty id": (json.dumps(said("", "t")).encode(), "malformed"),
    "a negative time": (json.dumps(said("good", "t", -5)).encode(), "malformed"),
    "a time in no unit": (json.dumps(said("good", "t", NOW_MS * 10)).encode(), "malformed"),
    "a time in 1970": (json.dumps(said("good", "t", 1_000)).encode(), "refused"),
    "an unknown version": (json.dumps(said("good", "t") | {"v": 99}).encode(), "unknown_version"),
    "deep nesting": (b"[" * 100_000, "malformed"),
    "the far future": (json.dumps(said("good", "t", NOW_MS + 2 * DAY_MS)).encode(), "refused"),
    "another room's key": (json.dumps(said("other", "t")).encode(), "refused"),
}


def test_what_cannot_be_read_is_a_dead_letter_with_its_place_and_everything_else_arrives(world: World) -> None:
    world.write(ROOMS, started("good", title="a title"), key="good")
    for number, (value, _) in enumerate(UNDECODABLE.values()):
        world.write(CHAT, value, said("good", f"good text {number}", NOW_MS + number), key="good")
    until(lambda: world.state("good").get("messages") == len(UNDECODABLE))
    until(lambda: len(world.letters()) == len(UNDECODABLE))
    for number, (letter, (value, reason)) in enumerate(zip(world.letters(), UNDECODABLE.values(), strict=True)):
        assert (letter.topic, letter.partition, letter.offset) == (CHAT, 0, 2 * number)
        assert letter.value == value[:65_536]
        assert letter.error
        assert world.metrics.value("dead_letters_total", topic=CHAT, reason=reason) > 0
    assert world.metrics.value("dead_letters_total") == len(UNDECODABLE)


def test_every_producer_topic_refuses_what_it_cannot_read(world: World) -> None:
    world.write(ROOMS, b"rubbish", started("r", title="t"), key="r")
    world.write(VIEWER_EVENTS, b"rubbish", did("v", "r", "dance"), did("v", "r", "watch", seconds=-1), key="v")
    world.write(VIEWER_EVENTS, did("v", "r", "enter"), key="v")
    until(lambda: "v" in published_profiles(world.log) and bool(world.state("r")))
    until(lambda: len(world.letters()) == 4)
    assert sorted((letter.topic, letter.offset) for letter in world.letters()) == [
        (ROOMS, 0), (VIEWER_EVENTS, 0), (VIEWER_EVENTS, 1), (VIEWER_EVENTS, 2),
    ]  # fmt: skip
    assert published_profiles(world.log)["v"].total_events == 1


def test_odd_but_legal_input_is_counted_and_delays_nothing(world: World) -> None:
    odd = [
        said("r", ""),
        said("r", MEGABYTE, NOW_MS + 1),
        said("r", "\x00\x1b[31m\u202e\ud800", NOW_MS + 2),  # control characters, a lone surrogate
        said("r", "from a recording", NOW_MS - 4_000 * DAY_MS),
        said("r", "backwards", NOW_MS - 20_000),
        {**said("r", "an unknown field", NOW_MS + 3), "mood": {"deep": [1]}},
    ]
    world.write(ROOMS, started("r"), started("r", title="again", at_ms=NOW_MS + 5), key="r")
    until(lambda: bool(world.state("r")))
    world.write(CHAT, *odd, said("r", "twice", NOW_MS + 4), said("r", "twice", NOW_MS + 4), key="r")
    world.write(CHAT, said("nowhere", "never started"), key="nowhere")
    until(lambda: world.state("r").get("messages") == len(odd) + 1 and world.state("r")["title"] == "again")
    assert world.metrics.value("chat_duplicates_total") == 1
    assert world.metrics.value("chat_late_total") == 1
    assert world.metrics.value("chat_orphaned_total") == 1
    assert world.metrics.value("records_mended_total", topic=CHAT, reason="broken_text") == 1
    assert world.letters() == []
    assert world.state("nowhere") == {}
    world.write(ROOMS, started("nowhere"), key="nowhere")
    until(lambda: world.state("nowhere").get("messages") == 1)


def test_what_other_languages_write_by_default_is_read_from_every_topic(world: World) -> None:
    wanting = {"title": None, "category": None, "tags": [f"tag{number}" for number in range(33)], "streamer": 7}
    world.write(ROOMS, started("r", **wanting), key="r")
    world.write(CHAT, said("r", "in seconds", NOW_MS // 1_000) | {"viewer": 12}, key="r")
    world.write(VIEWER_EVENTS, did("12", "r", "ENTER") | {"viewer": 12, "seconds": None}, key="12")
    until(lambda: world.state("r").get("messages") == 1 and world.state("r")["entered"] == 1)
    assert len(world.state("r")["tags"]) == 32
    assert published_profiles(world.log)["12"].room == "r"
    assert world.metrics.value("records_mended_total", topic=CHAT, reason="seconds") == 1
    assert world.letters() == []
    world.write(ROOMS, ended("r", NOW_MS + 40 * 365 * DAY_MS), key="r")
    until(lambda: world.state("r")["status"] == "ended")
    assert world.metrics.value("records_mended_total", topic=ROOMS, reason="end_time") == 1


def test_an_ended_room_stays_ended_whatever_comes_after(world: World) -> None:
    world.write(ROOMS, started("r"), ended("r", NOW_MS + 10), started("r"), key="r")
    until(lambda: world.state("r").get("status") == "ended")
    world.write(CHAT, said("r", "still here", NOW_MS + 20), key="r")
    world.write(VIEWER_EVENTS, did("v", "r", "enter", NOW_MS + 30), key="v")
    until(lambda: world.state("r").get("messages") == 1 and world.state("r")["entered"] == 1)
    assert world.state("r")["status"] == "ended"
    assert world.metrics.value("chat_after_end_total") == 1
    assert world.metrics.value("lifecycle_stale_total") == 1


def test_everything_at_once_ends_where_pure_folds_end(world: World) -> None:
    for number in range(40):
        room = f"r{number % 4}"
        rubbish = list(UNDECODABLE.values())[number % len(UNDECODABLE)][0]
        world.write(ROOMS, started(room, at_ms=NOW_MS + number), key=room)
        world.write(CHAT, rubbish, said(room, f"text {number}", NOW_MS + (number * 7_919) % 60_000), key=room)
        viewer = f"v{number % 5}"
        times = (NOW_MS + number, NOW_MS - number * 1_000, 5)
        world.write(VIEWER_EVENTS, b"{", *(did(viewer, room, "enter", at_ms) for at_ms in times), key=viewer)
    until(lambda: published_profiles(world.log) == expected_profiles(world.log, ProfileConfig()))
    until(lambda: published_states(world.log) == expected_states(world.log, fake_vectors, FAKE_VERSION, WindowConfig()))
    assert len(published_states(world.log)) == 4
    assert len(published_profiles(world.log)) == 5
