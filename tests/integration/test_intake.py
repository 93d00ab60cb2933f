"""Tests that records over HTTP reach a real Kafka, and that nothing acknowledged is lost when the broker is killed."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actors.profiles.worker import ProfileWorker
from actors.settings import IntakeConfig, ProfileWorkerConfig
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.codec import Decoder
from streaming.log.partitioner import partition_of
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, DEAD_LETTER, ROOM_ACTIVITY, ROOMS, VIEWER_EVENTS, TopicsConfig
from streaming.metrics import MemoryMetrics
from streaming.viewer.profile_config import ProfileConfig
from tests.documented import blocks
from tests.reference import published_profiles, records_of
from tests.served_intake import Answer, post, served

PARTITIONS = 3
PATIENCE_S = 60.0
TAKEN = (200, 207)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker of this test's own: it is killed."""
    with LocalKafka(LocalKafkaConfig(folder=str(tmp_path / "kafka"), port=0, controller_port=0)) as broker:
        with KafkaAdmin(KafkaConfig(bootstrap_servers=broker.bootstrap_servers)) as admin:
            check_topics(admin, TopicsConfig(room_partitions=PARTITIONS, viewer_partitions=PARTITIONS))
        yield broker


def log_of(broker: LocalKafka, **changes: float) -> KafkaLog:
    return KafkaLog(KafkaConfig(bootstrap_servers=broker.bootstrap_servers, **changes))  # type: ignore[arg-type]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def chat(text: str, room: str = "r", **fields: Any) -> dict[str, Any]:
    return {"type": "chat", "room": room, "viewer": "w", "text": text, "at_ms": now_ms(), **fields}


def gift(**fields: Any) -> dict[str, Any]:
    event = {"type": "viewer", "viewer": "w", "room": "r", "streamer": "s", "action": "gift", "at_ms": now_ms()}
    return {**event, **fields}


def lines(*records: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in records)


def records(log: KafkaLog, topic: str) -> list[Any]:
    """The records of a topic in order of partitions and offsets; each lies where its key belongs."""
    found = []
    for partition in log.partitions(topic):
        for record in records_of(log, partition):
            assert record.key is not None
            assert record.partition == partition_of(record.key, PARTITIONS)
            found.append(Decoder(topic)(record.value or b""))
    return found


def test_records_of_many_callers_arrive_each_once_and_in_the_order_of_its_caller(broker: LocalKafka) -> None:
    log, metrics = log_of(broker), MemoryMetrics()
    callers, requests, of_each = 8, 12, 40

    def calls(port: int, caller: int) -> list[int]:
        statuses = []
        for request in range(requests):
            numbers = range(request * of_each, (request + 1) * of_each)
            body = lines(*(chat(f"{caller}-{n}", f"room {(caller + n) % 5}") for n in numbers), {"type": "wrong"})
            packed = {"content-encoding": "gzip"} if request % 2 else {}
            statuses.append(post(port, CHAT, gzip.compress(body) if packed else body, packed).status)
        return statuses

    with served(log, IntakeConfig(), metrics) as port, ThreadPoolExecutor(callers) as pool:
        started = {"type": "started", "room": "r", "streamer": "s", "at_ms": now_ms()}
        assert post(port, ROOMS, lines(started)).status == 200
        assert post(port, VIEWER_EVENTS, lines(gift())).status == 200
        found = list(pool.map(lambda caller: calls(port, caller), range(callers)))
    assert found == [[207] * requests] * callers
    assert (len(records(log, ROOMS)), len(records(log, VIEWER_EVENTS))) == (1, 1)
    said = records(log, CHAT)
    assert len(said) == callers * requests * of_each
    for caller in range(callers):
        for room in {message.room for message in said}:
            numbers = [int(m.text.split("-")[1]) for m in said if m.room == room and m.text.startswith(f"{caller}-")]
            assert numbers == sorted(set(numbers))
    assert sum(metrics.observed("intake_group_requests")) == callers * requests + 2
    assert len(metrics.observed("intake_group_requests")) < callers * requests, "requests shared flushes"


def test_a_repeated_key_writes_nothing_twice(broker: LocalKafka) -> None:
    log = log_of(broker)
    body = lines(*[gift()] * 5, {"type": "wrong"})
    key = {"idempotency-key": "8e03978e"}
    with served(log, IntakeConfig(), MemoryMetrics()) as port:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda _: post(port, VIEWER_EVENTS, body, key), range(4)))
        again = post(port, VIEWER_EVENTS, gzip.compress(body), {**key, "content-encoding": "gzip"})
        other = post(port, VIEWER_EVENTS, lines(gift(action="like")), key)
    assert {one.status for one in (*together, again)} == {207}
    assert all(one.json == again.json for one in together)
    assert sum("idempotency-replayed" not in one.headers for one in (*together, again)) == 1
    assert other.status == 409
    assert len(records(log, VIEWER_EVENTS)) == 5


def test_a_repetition_at_another_replica_is_written_again_and_counts_once(broker: LocalKafka) -> None:
    log = log_of(broker)
    body = lines(*[gift()] * 5)
    key = {"idempotency-key": "8e03978e"}
    for _ in range(2):
        with served(log, IntakeConfig(), MemoryMetrics()) as port:
            assert post(port, VIEWER_EVENTS, body, key).status == 200
    assert len(records(log, VIEWER_EVENTS)) == 10
    stop, metrics = threading.Event(), MemoryMetrics()
    worker = ProfileWorker(
        log,
        "0",
        config=ProfileWorkerConfig(),
        profile=ProfileConfig(),
        metrics=metrics,
        clock=SystemClock(),
    )
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    deadline_s = time.monotonic() + PATIENCE_S
    while metrics.value("records_read_total", topic=VIEWER_EVENTS) < 10 or not published_profiles(log):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    stop.set()
    thread.join(PATIENCE_S)
    assert metrics.value("viewer_events_duplicate_total") == 5
    decode = Decoder(ROOM_ACTIVITY)
    sums = [decode(r.value or b"") for p in log.partitions(ROOM_ACTIVITY) for r in records_of(log, p)]
    assert sum(one.gifts for one in sums) == 5
    assert not [r for p in log.partitions(DEAD_LETTER) for r in records_of(log, p)]


def test_without_a_broker_callers_hear_in_time_and_nothing_acknowledged_is_lost(broker: LocalKafka) -> None:
    log = log_of(broker, delivery_timeout_s=11.0, connect_timeout_s=2.0)
    config = IntakeConfig(timeout_s=1.0)
    taken: Counter[str] = Counter()
    refused: list[tuple[str, Answer, float]] = []
    stop, lock = threading.Event(), threading.Lock()

    def calls(port: int, caller: int) -> None:
        number = 0
        while not stop.is_set():
            texts = [f"{caller}-{number}-{n}" for n in range(20)]
            began_s = time.monotonic()
            answer = post(port, CHAT, lines(*map(chat, texts)))
            took_s = time.monotonic() - began_s
            with lock:
                if answer.status in TAKEN:
                    taken.update(texts)
                else:
                    refused.extend((text, answer, took_s) for text in texts)
            number += 1

    def until(holds: Any) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    with served(log, config, MemoryMetrics()) as port, ThreadPoolExecutor(4) as pool:
        running = [pool.submit(calls, port, caller) for caller in range(4)]
        until(lambda: len(taken) > 200)
        broker.kill()
        until(lambda: len(refused) > 200)
        broker.start()
        before = len(taken)
        until(lambda: len(taken) > before + 200)
        stop.set()
        for one in running:
            one.result(PATIENCE_S)
        answer = post(port, CHAT, lines(chat("last")))
        assert answer.status == 200
    found = Counter(message.text for message in records(log, CHAT))
    assert not [text for text in taken if found[text] != 1], "acknowledged, and there once"
    assert {answer.status for _, answer, _ in refused} == {503}
    assert all(answer.headers["retry-after"] for _, answer, _ in refused)
    assert max(took_s for _, _, took_s in refused) < 5.0  # HAProxy gives up then
    nothing = [text for text, answer, _ in refused if not answer.json["may_be_written"]]
    assert nothing, "requests whose turn did not come"
    assert not [text for text in nothing if found[text]], "what is said not to be written is not"


def test_where_the_broker_is_away_from_the_beginning_nothing_is_written_and_that_is_said(broker: LocalKafka) -> None:
    log = log_of(broker, connect_timeout_s=3.0)
    broker.kill()
    with served(log, IntakeConfig(timeout_s=0.5), MemoryMetrics()) as port:
        answers = [post(port, CHAT, lines(chat("early"))) for _ in range(3)]
        assert [(answer.status, answer.json["may_be_written"]) for answer in answers] == [(503, False)] * 3
        broker.start()
        deadline_s = time.monotonic() + PATIENCE_S
        while post(port, CHAT, lines(chat("late"))).status != 200:
            assert time.monotonic() < deadline_s
    assert {message.text for message in records(log, CHAT)} == {"late"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_what_the_page_tells_to_type_is_taken(broker: LocalKafka, tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_bytes(lines(*[gift(id=str(number)) for number in range(3)]))
    typed = [block.text for block in blocks() if (block.page, block.language) == ("docs/api.md", "sh")]
    typed = [text for text in typed if "/v1/rooms -d" in text or "/v1/chat" in text or "/v1/viewer-events" in text]
    assert len(typed) == 3
    log = log_of(broker)
    with served(log, IntakeConfig(), MemoryMetrics()) as port:
        for text in typed:
            script = text.replace("localhost:8000", f"127.0.0.1:{port}").replace("curl -s", "curl -sS --fail-with-body")
            ran = subprocess.run(
                ["bash", "-e"], input=script, cwd=tmp_path, text=True, capture_output=True, check=False
            )
            assert ran.returncode == 0, (script, ran.stdout, ran.stderr)
    assert [len(records(log, topic)) for topic in (ROOMS, CHAT, VIEWER_EVENTS)] == [1, 2, 4]
