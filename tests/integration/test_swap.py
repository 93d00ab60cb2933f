"""Versions change in the running application while it is asked: no request fails, and no replica is left behind."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.recommend.schema import Answer
from deploy.config.http_settings import HttpConfig
from deploy.config.ray_settings import RayConfig
from deploy.config.settings import Settings
from deploy.http.client import Client, NotUp
from deploy.http.status import Post
from deploy.local.system import System
from streaming.archive.store import open_store
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.local_kafka import LocalKafkaConfig
from streaming.machine.ports import free_port
from tests.askers import Askers
from tests.bench.platform_states import VIEWERS, Platform
from tests.bench.serve import fill
from tests.eventually import eventually
from tests.untrained import untrained
from training.registry.bundle import Bundle
from training.registry.registry import GateVerdict, OpenGate, Registry
from training.settings import RegistryConfig

ROOMS = 600
ROUNDS = 8  # a swap and a rollback each, and every third time to v0 and back between: 20 in all
STREAMERS = [f"streamer-{number}" for number in range(ROOMS)]


def complaint_about(answer: Answer) -> str:
    """What is wrong with an answer: not of one version, or not complete."""
    if {item.receipt.model_version for item in answer.rooms} != {answer.model_version}:
        return f"receipts of another version than {answer.model_version}"
    return "" if len(answer.rooms) == 20 else f"{len(answer.rooms)} rooms instead of 20"


def askers_of(system: System, threads: int) -> Askers:
    """Callers of the system."""
    return Askers(system.url, threads, VIEWERS + 50, complaint_about)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("swap")
    registry = RegistryConfig(uri=str(folder / "models"))
    settings = Settings(
        registry=registry,
        local_kafka=LocalKafkaConfig(folder=str(folder / "kafka"), port=0, controller_port=0),
        http=HttpConfig(port=free_port(), admin_port=free_port(), replicas=2),
        ray=RayConfig(),
    )
    with System(settings, folder, await_encoder=False) as system:
        sink, _ = fill(system, Platform(ROOMS, time.time_ns() // 1_000_000))
        sink.close()
        yield system


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    with contextlib.closing(system.client()) as client:
        yield client


@pytest.fixture(scope="module")
def registry(system: System) -> Registry:
    store = open_store(system.settings.registry.uri, "registry")
    registry = Registry(store, KafkaLog(system.settings.kafka), SystemClock())
    for version in ("one", "two"):
        registry.publish(untrained(version, STREAMERS, "bench"))
    return registry


def recommenders(client: Client) -> list[Post]:
    try:
        return [post for post in client.status().processes if post.name == "recommender"]
    except NotUp:
        return []


def await_version(client: Client, version: str) -> None:
    def everywhere() -> bool:
        return [post.detail["model_version"] for post in recommenders(client)] == [version] * 2

    eventually(everywhere, f"both replicas answer with {version}")


def test_twenty_swaps_and_rollbacks_under_load_fail_no_request(
    system: System, client: Client, registry: Registry
) -> None:
    with askers_of(system, 3) as askers:
        eventually(lambda: askers.answers > 100, "there is load")
        for number in range(ROUNDS):
            before = registry.latest()
            version = ("one", "two")[number % 2]
            registry.promote(version, OpenGate())
            await_version(client, version)
            if number % 3 == 2:  # to v0 and back counts too
                registry.promote("v0", OpenGate())
                await_version(client, "v0")
                registry.promote(version, OpenGate())
                await_version(client, version)
            was, now = registry.rollback()
            assert (was, now) == (version, before.version if before is not None and number % 3 != 2 else "v0")
            await_version(client, now)
    assert (askers.failed, askers.wrong) == ([], [])
    assert askers.versions == {"v0", "one", "two"}
    assert askers.answers > 500
    text = client.metrics()
    assert "tidecast_dead_rooms_returned_total 0.0" in text
    assert 'tidecast_swaps_total{outcome="refused"}' not in text


def test_a_damaged_version_is_refused_by_every_replica_and_they_answer_on(
    system: System, client: Client, registry: Registry
) -> None:
    registry.promote("one", OpenGate())
    await_version(client, "one")
    registry.publish(untrained("bad", STREAMERS, "bench"))
    with askers_of(system, 1) as askers:
        registry.promote("bad", Spoiling(Path(system.settings.registry.uri)))

        def refused() -> bool:
            return all(
                "weights.safetensors is damaged" in post.detail["model_refused"] for post in recommenders(client)
            )

        eventually(refused, "both replicas say why they refuse it")
        registry.rollback()
        eventually(lambda: not any(post.detail["model_refused"] for post in recommenders(client)), "they agree again")
    assert (askers.failed, askers.wrong) == ([], [])
    assert askers.versions == {"one"}


class Spoiling(OpenGate):
    """Lets a version through, and then a disk fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def judge(self, candidate: Bundle, live: Bundle | None) -> GateVerdict:
        verdict = super().judge(candidate, live)
        weights = self._folder / "bad" / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100] + bytes(100))
        return verdict


def test_a_replica_that_starts_answers_with_the_live_version_from_its_first_answer_on(
    system: System, client: Client, registry: Registry
) -> None:
    live = registry.latest()
    assert live is not None
    with askers_of(system, 2) as askers:
        before = {post.pid for post in recommenders(client)}
        psutil.Process(next(iter(before))).kill()

        def replaced() -> bool:
            pids = {post.pid for post in recommenders(client)}
            return len(pids) == 2 and pids != before

        eventually(replaced, "there are two replicas again")
    assert askers.versions == {live.version}
