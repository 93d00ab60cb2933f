"""Tests of what the Archiver does on a real Kafka while it is killed: the archive is the log, record for record."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from streaming.archive.archiver import Archiver
from streaming.archive.config import ArchiveConfig
from streaming.archive.reader import Archive
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.kafka_config import KafkaConfig
from streaming.log.log import Log
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, ROOM_ACTIVITY, ROOM_STATES, VIEWER_EVENTS, TopicsConfig
from streaming.metrics import MemoryMetrics

Rows = list[tuple[int, int, int, bytes | None, bytes | None]]
WRITTEN = (CHAT, VIEWER_EVENTS, ROOM_STATES, ROOM_ACTIVITY)
SETTLE_S = 60.0


@pytest.fixture(autouse=True)
def topics(kafka_config: KafkaConfig, topic_prefix: str) -> None:
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix, room_partitions=2, viewer_partitions=2))


def on_the_log(log: Log, topic: str) -> Rows:
    partitions = log.partitions(topic)
    source = log.reader(partitions)
    rows: Rows = []
    quiet = 0
    while quiet < 3:
        batch = source.poll(0.3)
        quiet = 0 if batch.records else quiet + 1
        rows += [(r.partition, r.offset, r.timestamp, r.key, r.value) for rs in batch.records.values() for r in rs]
    source.close()
    return sorted(rows, key=lambda row: row[:2])


def archived(uri: str, topic: str) -> Rows:
    rows: Rows = []
    for batch in Archive(uri).read(topic):
        plain = batch.set_column(2, "timestamp", batch.column("timestamp").cast(pa.int64()))
        rows += zip(*plain.to_pydict().values(), strict=True)
    return rows


class Writer:
    """Writes to some topics, in transactions that are committed or aborted, and outside of any."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log
        self._rng = random.Random(5)
        self._plain = log.sink()
        self._group = log.group([CHAT], "writer", "0")
        while not self._group.poll(0.1).assigned:
            pass  # who has no partition commits nothing
        self._count = 0

    def write(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._send(self._plain.send, (CHAT, VIEWER_EVENTS))
            self._plain.flush()
            sink = self._log.sink("writer")
            self._send(sink.send, (ROOM_STATES, ROOM_ACTIVITY))
            if self._rng.random() < 0.7:
                sink.commit(self._group, {})
            else:
                sink.flush()
            sink.close()  # aborts what is not committed

    def close(self) -> None:
        self._plain.close()
        self._group.close()

    def _send(self, send: Callable[[str, bytes, bytes | None], None], topics: Sequence[str]) -> None:
        for _ in range(self._rng.randrange(300)):
            self._count += 1
            value = None if self._count % 50 == 0 else b"%d" % self._count
            send(self._rng.choice(topics), b"key-%d" % (self._count % 100), value)


def start(kafka_config: KafkaConfig, prefix: str, uri: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.worker_process", "archive", kafka_config.bootstrap_servers, prefix, uri]
    return subprocess.Popen(command)


def test_a_killed_archiver_has_every_record_once(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str, tmp_path: Path
) -> None:
    rng, uri, writer = random.Random(7), str(tmp_path), Writer(kafka_log)
    process = start(kafka_config, topic_prefix, uri)
    try:
        for _ in range(6):
            before, until_s = len(Archive(uri).files()), time.monotonic() + SETTLE_S
            while len(Archive(uri).files()) == before and time.monotonic() < until_s:
                writer.write(0.1)
            writer.write(0.5 * rng.random())  # it is in the middle of something
            process.kill()
            process.wait()
            process = start(kafka_config, topic_prefix, uri)
        writer.write(1.0)
        writer.close()
        expected = {topic: on_the_log(kafka_log, topic) for topic in WRITTEN}
        until_s = time.monotonic() + SETTLE_S
        while {topic: archived(uri, topic) for topic in WRITTEN} != expected and time.monotonic() < until_s:
            time.sleep(0.5)
        process.terminate()
        assert process.wait(timeout=15) == 0
    finally:
        process.kill()
        process.wait()
    for topic in WRITTEN:
        assert len(expected[topic]) > 100, "nothing was tested"
        assert archived(uri, topic) == expected[topic]
    assert len(Archive(uri).files()) > 6 * len(WRITTEN), "the kills came before anything was written"


def test_once_ends_where_the_log_ends_and_two_at_once_do_no_harm(kafka_log: KafkaLog, tmp_path: Path) -> None:
    uri, writer = str(tmp_path), Writer(kafka_log)

    def archive_all(flush_rows: int) -> None:
        config = ArchiveConfig(uri=uri, flush_rows=flush_rows)
        Archiver(kafka_log, config, MemoryMetrics(), SystemClock()).run_once(threading.Event())

    for _ in range(2):
        writer.write(0.5)
        threads = [threading.Thread(target=archive_all, args=(rows,)) for rows in (7, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SETTLE_S)
    writer.close()
    for topic in WRITTEN:
        assert archived(uri, topic) == on_the_log(kafka_log, topic)
