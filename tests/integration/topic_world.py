"""Workers and a replica in threads on a real Kafka whose topics change under them. Never asserts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from actors.index.live_index import LiveIndex
from actors.profiles.worker import ProfileWorker
from actors.rooms.worker import RoomWorker
from actors.settings import IndexConfig, ProfileWorkerConfig, RoomWorkerConfig, TablesConfig
from actors.state.table_reader import TableReader, Tables
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.events import ChatMessage, DeadLetter, RoomEnded, RoomStarted, ViewerEvent
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import Decoder, encode
from streaming.log.topic_check import check_topics, grow_topics
from streaming.log.topics import CHAT, DEAD_LETTER, ROOM_STATES, ROOMS, VIEWER_EVENTS, VIEWER_PROFILES, TopicsConfig
from streaming.metrics import MemoryMetrics
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from tests.fake_encoder import InstantEncoder
from tests.reference import committed_values, published_profiles, published_states, records_of

PATIENCE_S = 60.0
Place = Callable[[bytes, int], int]


class TopicWorld:
    """Producers, workers and a replica of one prefix. Topics have `partitions` of them, by room and by viewer."""

    def __init__(self, config: KafkaConfig, prefix: str, partitions: int) -> None:
        self.config, self.prefix, self.partitions = config, prefix, partitions
        self.log, self.metrics, self.clock = KafkaLog(config, prefix), MemoryMetrics(), SystemClock()
        self.make()
        self.place: Place | None = None  # another partitioner than Kafka's own
        self.sink = self.log.sink()
        self.tables = Tables(
            TablesConfig(), LiveIndex(IndexConfig(max_rooms=100)), self.metrics, self.clock, max_rooms=100
        )
        self.reader = TableReader(self.log, self.tables, self.metrics)
        self.rooms: list[RoomWorker] = []
        self.viewers: list[ProfileWorker] = []
        self._running: list[tuple[threading.Event, threading.Thread]] = []

    # what runs

    def start(self, *, rooms: int = 1, viewers: int = 1, replica: bool = True) -> None:
        shared: dict[str, Any] = {"metrics": self.metrics, "clock": self.clock}
        self.rooms = [
            RoomWorker(
                self.log, str(n), config=RoomWorkerConfig(), window=WindowConfig(), encoder=InstantEncoder(), **shared
            )
            for n in range(rooms)
        ]
        self.viewers = [
            ProfileWorker(self.log, str(n), config=ProfileWorkerConfig(), profile=ProfileConfig(), **shared)
            for n in range(viewers)
        ]
        threads: list[Any] = [*self.rooms, *self.viewers, *([self.reader] if replica else [])]
        for one in threads:
            stop = threading.Event()
            thread = threading.Thread(target=one.run, args=(stop,), daemon=True, name=type(one).__name__)
            thread.start()
            self._running.append((stop, thread))

    def stop(self, *, workers_only: bool = False) -> None:
        ending = [one for one in self._running if not (workers_only and one[1].name == "TableReader")]
        for stop, _ in ending:
            stop.set()
        for _, thread in ending:
            thread.join(60)
        self._running = [one for one in self._running if one not in ending]

    def all_run(self) -> bool:
        return all(thread.is_alive() for _, thread in self._running)

    # what happens to topics

    def make(self) -> None:
        with KafkaAdmin(self.config) as admin:
            check_topics(admin, TopicsConfig(self.prefix, self.partitions, self.partitions))

    def grow(self, partitions: int) -> None:
        """Grows topics as `tidecast topics --partitions` does."""
        self.partitions = partitions
        with KafkaAdmin(self.config) as admin:
            grow_topics(admin, TopicsConfig(self.prefix, partitions, partitions), ("room", "viewer"))

    def alter(self, topic: str, partitions: int) -> None:
        """Grows one topic alone, as `kafka-topics --alter` does."""
        with KafkaAdmin(self.config) as admin:
            admin.grow(self.prefix + topic, partitions)

    def remake(self, *topics: str) -> None:
        admin = KafkaAdminClient(**self.config.client())
        admin.delete_topics([self.prefix + topic for topic in topics])
        while any(not t["error_code"] for t in admin.describe_topics([self.prefix + topic for topic in topics])):
            threading.Event().wait(0.1)
        admin.close()
        self.make()

    # what producers write

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def started(self, room: str, title: str = "a title") -> None:
        event = RoomStarted(room=room, streamer=f"s-{room}", at_ms=self.now_ms(), title=title)
        self.write(ROOMS, room, encode(event))

    def ended(self, room: str) -> None:
        self.write(ROOMS, room, encode(RoomEnded(room=room, at_ms=self.now_ms())))

    def said(self, room: str, text: str, viewer: str = "v") -> None:
        self.write(CHAT, room, self.message(room, text, viewer))

    def message(self, room: str, text: str, viewer: str = "v") -> bytes:
        return encode(ChatMessage(room=room, viewer=viewer, text=text, at_ms=self.now_ms()))

    def entered(self, viewer: str, room: str) -> None:
        self.write(VIEWER_EVENTS, viewer, self.entry(viewer, room))

    def entry(self, viewer: str, room: str) -> bytes:
        return encode(ViewerEvent(viewer=viewer, room=room, streamer=f"s-{room}", action="enter", at_ms=self.now_ms()))

    def write(self, topic: str, key: str, value: bytes | None, partition: int | None = None) -> None:
        if partition is None and self.place is not None:
            partition = self.place(key.encode(), self.partitions)
        self.sink.send(topic, key.encode(), value, partition)
        self.sink.flush()

    def reopen(self) -> None:
        """A new producer: it sees the topics as they are now."""
        self.sink.close()
        self.sink = self.log.sink()

    # what came of it

    def states(self) -> dict[str, dict[str, Any]]:
        return published_states(self.log)

    def messages(self) -> dict[str, int]:
        return {room: state["messages"] for room, state in self.states().items()}

    def entries(self) -> dict[str, int]:
        return {room: state["entered"] for room, state in self.states().items()}

    def visits(self) -> dict[str, int]:
        return {viewer: profile.total_visits for viewer, profile in published_profiles(self.log).items()}

    def times_published(self, topic: str) -> Counter[str]:
        """In how many partitions each key has a value."""
        assert topic in (ROOM_STATES, VIEWER_PROFILES)
        return Counter(key.decode() for p in self.log.partitions(topic) for key in committed_values(self.log, p))

    def letters(self) -> list[DeadLetter]:
        decode = Decoder(DEAD_LETTER)
        return [decode(r.value or b"") for p in self.log.partitions(DEAD_LETTER) for r in records_of(self.log, p)]

    def shown(self) -> dict[str, str]:
        """The rooms that a replica holds live, with their titles."""
        with self.tables.lock:
            return {room: snapshot.state.title for room, snapshot in self.tables.rooms.snapshots.items()}


@contextlib.contextmanager
def open_transaction(world: TopicWorld, *topics: str) -> Iterator[None]:
    """Another producer's, that holds the first partition of these topics until it aborts."""
    producer = KafkaProducer(**world.config.client(), transactional_id=f"{world.prefix}somebody")
    producer.init_transactions()
    producer.begin_transaction()
    for topic in topics:
        producer.send(world.prefix + topic, key=b"k", value=b"uncommitted", partition=0).get(timeout=30)
    yield
    producer.abort_transaction()
    producer.close()


def until(holds: Callable[[], bool], found: Callable[[], object] = lambda: None) -> None:
    """Waits until it is so; fails with what there is instead."""
    deadline = time.monotonic() + PATIENCE_S
    wait = threading.Event()
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except KeyError:
            pass
        wait.wait(0.2)
    raise AssertionError(f"it did not come to be: {found()}")


def opened(config: KafkaConfig, prefix: str, partitions: int) -> Iterator[TopicWorld]:
    """For fixtures."""
    world = TopicWorld(config, prefix, partitions)
    yield world
    world.stop()
    world.sink.close()
