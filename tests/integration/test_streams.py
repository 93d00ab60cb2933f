"""Tests of streamed lists: real workers on a real Kafka, and replicas that are killed behind the real HAProxy."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.config.proxy_limits import ProxyLimits
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.events import Action, ChatMessage, RoomEnded, RoomStarted, ViewerEvent
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import encode
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS, TopicsConfig
from streaming.machine.ports import free_port
from tests.event_source import EventSource
from tests.eventually import eventually
from tests.integration.worker_group import WorkerProcess
from tests.served_proxy import proxy


class Platform:
    """Producers of a platform."""

    def __init__(self, log: KafkaLog) -> None:
        self._sink = log.sink()

    def _send(self, topic: str, key: str, record: Any) -> None:
        self._sink.send(topic, key.encode(), encode(record))
        self._sink.flush()

    def starts(self, room: str) -> None:
        at_ms = now_ms()
        self._send(ROOMS, room, RoomStarted(room=room, streamer=f"s-{room}", at_ms=at_ms, language="en", title=room))

    def ends(self, room: str) -> None:
        self._send(ROOMS, room, RoomEnded(room=room, at_ms=now_ms()))

    def does(self, viewer: str, action: Action, room: str) -> None:
        event = ViewerEvent(viewer=viewer, room=room, streamer=f"s-{room}", action=action, at_ms=now_ms())
        self._send(VIEWER_EVENTS, viewer, event)

    def says(self, viewer: str, text: str, room: str) -> None:
        self._send(CHAT, room, ChatMessage(room=room, viewer=viewer, text=text, at_ms=now_ms()))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Replica:
    """A replica's process."""

    def __init__(self, servers: str, prefix: str, port: int = 0) -> None:
        self.port = port or free_port()
        command = [sys.executable, "-m", "tests.stream_replica", servers, prefix, str(self.port)]
        self.process = subprocess.Popen(command)

    def is_up(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v1/rooms")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def platform(kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str) -> Iterator[Platform]:
    """A platform with a worker of each kind and four rooms, in each of which somebody is."""
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix, room_partitions=2, viewer_partitions=2))
    workers = [WorkerProcess(kind, kafka_config.bootstrap_servers, topic_prefix, "0") for kind in ("profile", "room")]
    platform = Platform(kafka_log)
    for number in range(4):
        platform.starts(f"room-{number}")
        for viewer in range(20 - 5 * number):
            platform.does(f"guest-{number}-{viewer}", "enter", f"room-{number}")
    yield platform
    for worker in workers:
        worker.kill()


@contextlib.contextmanager
def replicas(config: KafkaConfig, prefix: str, number: int) -> Iterator[list[Replica]]:
    started = [Replica(config.bootstrap_servers, prefix) for _ in range(number)]
    try:
        eventually(lambda: all(replica.is_up() for replica in started), "the replicas are up")
        yield started
    finally:
        for replica in started:
            replica.kill()


def test_a_list_is_pushed_when_an_event_changes_it_and_not_before(
    platform: Platform, kafka_config: KafkaConfig, topic_prefix: str
) -> None:
    with (
        replicas(kafka_config, topic_prefix, 1) as (replica,),
        EventSource(replica.port, "/v1/stream/v?limit=3", "nonsense") as source,
        EventSource(replica.port, "/v1/stream/other?limit=3") as other,
    ):
        eventually(lambda: len(source.rooms) == len(other.rooms) == 3, "both have a list")
        eventually(lambda: settled(source) and settled(other), "the rooms' first audiences are counted")
        said, before = len(source.events), source.rooms

        platform.says("guest-0-0", "nothing that matters", "room-0")
        eventually(lambda: settled(source, 10), "ten heartbeats come")
        assert len(source.events) == said, "an ordinary message is no news"

        platform.does("v", "enter", "room-3")
        platform.does("v", "leave", "room-3")
        eventually(lambda: source.rooms[0] == "room-3", "what the viewer did changes their list")
        assert other.rooms == before

        for number in range(60):  # of as many chatters: a crowd, and not one who writes a lot
            platform.says(f"fan-{number}", f"what a goal {number}", "room-3")
            platform.does(f"fan-{number}", "enter", "room-3")
        eventually(lambda: other.rooms[0] == "room-3", "what is said in a room and who comes changes everybody's list")

        platform.ends("room-3")
        eventually(lambda: "room-3" not in source.rooms + other.rooms, "the ended room is taken out of both lists")
        eventually(lambda: len(source.rooms) == 3, "and another takes its place")
        eventually(lambda: all(one.events[-1][0] == "list" for one in (source, other)), "a list is the last word")
        for one in (source, other):
            kinds = [kind for kind, rooms in one.events if kind == "ended" or "room-3" not in rooms]
            assert "ended" in kinds
            assert one.connections == 1


def settled(source: EventSource, heartbeats: int = 5) -> bool:
    """Whether so many heartbeats come and nothing else, as they do of a stream that is silent."""
    events, beaten = len(source.events), source.heartbeats
    eventually(lambda: len(source.events) > events or source.heartbeats >= beaten + heartbeats, "the stream lives")
    return len(source.events) == events


def test_when_a_replica_is_killed_its_clients_go_on_at_another_and_no_list_is_repeated(
    platform: Platform, kafka_config: KafkaConfig, topic_prefix: str, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        alive = stack.enter_context(replicas(kafka_config, topic_prefix, 2))
        port = stack.enter_context(proxy(tmp_path, [replica.port for replica in alive], ProxyLimits()))
        sources = [stack.enter_context(EventSource(port, f"/v1/stream/v{number}?limit=3")) for number in range(6)]
        eventually(lambda: all(len(source.rooms) == 3 for source in sources), "all have a list")
        eventually(lambda: all(settled(source) for source in sources), "the rooms' first audiences are counted")
        said = [len(source.events) for source in sources]

        alive[0].kill()
        eventually(lambda: sum(source.connections for source in sources) > len(sources), "those that it had come back")
        eventually(lambda: all(settled(source) for source in sources), "all are alive")
        assert [len(source.events) for source in sources] == said, "nobody is sent what they have"

        again = Replica(kafka_config.bootstrap_servers, topic_prefix, alive[0].port)
        stack.callback(again.kill)
        eventually(again.is_up, "it is up again, and has not seen these clients before")
        platform.ends("room-0")
        alive[1].kill()
        eventually(
            lambda: all(source.rooms == ["room-1", "room-2", "room-3"] for source in sources),
            "what has changed is sent to those who were away too",
        )
