"""The encoder changes in the running application with the version that reads it, and back, while it is asked."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from actors.recommend.schema import Answer
from actors.settings import ExchangeConfig, RoomWorkerConfig
from deploy.config.http_settings import HttpConfig
from deploy.config.ray_settings import RayConfig
from deploy.config.settings import Settings
from deploy.http.client import Client, NotUp
from deploy.http.status import Post
from deploy.local.system import System
from streaming.archive.store import open_store
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.events import ChatMessage, RoomStarted
from streaming.local_kafka import LocalKafkaConfig
from streaming.log.codec import encode
from streaming.log.topics import CHAT, ROOMS
from streaming.machine.ports import free_port
from tests.askers import Askers, encoders_of_rooms
from tests.eventually import eventually
from tests.untrained import untrained
from training.content.language_model import OWN_SETTINGS, folder_of
from training.content.text_encoder import LazyTextEncoder
from training.registry.registry import OpenGate, Registry
from training.settings import EncoderConfig, RegistryConfig

ROOMS_LIVE = 30
STREAMERS = [f"streamer-{number}" for number in range(ROOMS_LIVE)]
OWN = EncoderConfig(precision="fp32", max_tokens=32)


class Platform(threading.Thread):
    """Rooms in which something is said all the time."""

    def __init__(self, system: System) -> None:
        super().__init__(daemon=True)
        self._sink = KafkaLog(system.settings.kafka).sink()
        self._stopped = threading.Event()
        now_ms = time.time_ns() // 1_000_000
        for number, streamer in enumerate(STREAMERS):
            title = f"number {number} plays chess and sings"
            self._send(ROOMS, RoomStarted(room=f"room-{number}", streamer=streamer, at_ms=now_ms, title=title))
        self._sink.flush()

    def __enter__(self) -> Platform:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()
        self._sink.close()

    def run(self) -> None:
        number = 0
        while not self._stopped.wait(0.2):
            number += 1
            said = ChatMessage(
                room=f"room-{number % ROOMS_LIVE}",
                viewer=f"viewer-{number % 7}",
                text=f"that was opening number {number}",
                at_ms=time.time_ns() // 1_000_000,
            )
            self._send(CHAT, said)
            self._sink.flush()

    def _send(self, topic: str, record: RoomStarted | ChatMessage) -> None:
        self._sink.send(topic, record.room.encode(), encode(record))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("exchange")
    settings = Settings(
        registry=RegistryConfig(uri=str(folder / "models")),
        local_kafka=LocalKafkaConfig(folder=str(folder / "kafka"), port=0, controller_port=0),
        http=HttpConfig(port=free_port(), admin_port=free_port(), replicas=2),
        ray=RayConfig(),
        encoder=OWN,
        room_worker=RoomWorkerConfig(exchange=ExchangeConfig(settle_s=4.0)),
    )
    with System(settings, folder) as system:
        yield system


def recommenders(client: Client) -> list[Post]:
    try:
        return [post for post in client.status().processes if post.name == "recommender"]
    except NotUp:
        return []


def await_version(client: Client, version: str) -> None:
    def everywhere() -> bool:
        return [post.detail["model_version"] for post in recommenders(client)] == [version] * 2

    eventually(everywhere, f"both replicas answer with {version}")


def encoders_in_use(client: Client) -> set[str]:
    return {post.detail["encoder"] for post in client.status().processes if post.name == "room-worker"}


def test_an_encoder_of_the_registry_takes_the_place_of_the_one_in_use_and_gives_it_back(
    system: System, tmp_path: Path
) -> None:
    ours = tmp_path / "ours"
    shutil.copytree(folder_of("minilm"), ours)
    (ours / OWN_SETTINGS).write_text('{"prefix": "the room says: "}')
    old = LazyTextEncoder(OWN).version
    new = LazyTextEncoder(replace(OWN, model=str(ours))).version
    registry = Registry(
        open_store(system.settings.registry.uri, "registry"), KafkaLog(system.settings.kafka), SystemClock()
    )
    registry.publish(untrained("one", STREAMERS, old))
    registry.publish(untrained("two", STREAMERS, new), ours)
    shutil.rmtree(ours)  # what is served comes from the registry
    with Platform(system), contextlib.closing(system.client()) as client:
        eventually(lambda: len(client.rooms(limit=100)) == ROOMS_LIVE, "all rooms are live")
        registry.promote("one", OpenGate())
        await_version(client, "one")
        eventually(lambda: encoders_in_use(client) == {old}, "the rooms are read by the encoder of the settings")
        encoder_of = {"one": old, "two": new}

        def complaint_about(answer: Answer) -> str:
            """An answer has to be of one encoder, that of the version that made it; and no room is without content."""
            encoders = encoders_of_rooms(answer)
            return "" if encoders == {encoder_of[answer.model_version]} else f"{answer.model_version}: {encoders}"

        with Askers(system.url, 2, 50, complaint_about) as askers:
            eventually(lambda: askers.answers > 50, "there is load")
            registry.promote("two", OpenGate())
            await_version(client, "two")
            eventually(lambda: encoders_in_use(client) == {new}, "the rooms are read by the new encoder alone")
            registry.rollback()
            await_version(client, "one")
            eventually(lambda: encoders_in_use(client) == {old}, "the rooms are read by the old encoder alone")
        assert (askers.failed, askers.wrong) == ([], [])
        assert askers.versions == {"one", "two"}
        status = client.status()
        assert not any(post.detail.get("model_refused") for post in status.processes)
