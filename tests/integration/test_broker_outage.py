"""Tests that sources and sinks outlive a broker that is killed and started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.train.trainer import GROUP, LEASE, LEASE_SESSION_S, trainers_lease
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.broker.source import SILENT_S
from streaming.errors import LogUnavailable
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.log import Partition, Sink, Source
from streaming.log.topics import MODELS
from streaming.log.watched_log import TurnCounter, WatchedLog

IN, OUT = Partition("in", 0), Partition("out", 0)
PATIENCE_S = 90.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker of this test's own: it is killed."""
    with LocalKafka(LocalKafkaConfig(folder=str(tmp_path / "kafka"), port=0, controller_port=0)) as broker:
        yield broker
        broker.start()  # the clients' close must find one


def read(source: Source, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(values) < count and time.monotonic() < deadline:
        values += [record.value for records in source.poll(0.2).records.values() for record in records]
    return values


def begun(log: KafkaLog, config: KafkaConfig) -> tuple[Sink, Sink, Source, Source]:
    """A plain sink, a worker's, its group's source and a reader of what it wrote, after a first record each way."""
    with KafkaAdmin(config) as admin:
        for topic in ("in", "out"):
            admin.create(topic, partitions=1, replication_factor=1, settings={})
    plain, worker = log.sink(), log.sink("worker")
    group, reader = log.group(["in"], "g", "0"), log.reader([OUT])
    plain.send("in", b"k", b"1")
    plain.flush()
    assert read(group, 1) == [b"1"]
    worker.send("out", b"k", b"1")
    worker.commit(group, {IN: 1})
    return plain, worker, group, reader


def test_sources_and_sinks_outlive_a_killed_broker_and_nothing_acknowledged_is_lost(broker: LocalKafka) -> None:
    config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers, session_timeout_s=2.0, delivery_timeout_s=15.0)
    log = KafkaLog(config)
    plain, worker, group, reader = begun(log, config)
    assert read(reader, 1) == [b"1"]

    broker.kill()
    began, cpu = time.monotonic(), time.process_time()
    while time.monotonic() - began < 3:
        for source in (group, reader):
            polled = time.monotonic()
            assert len(source.poll(0.2)) == 0
            assert time.monotonic() - polled < 2
    assert time.process_time() - cpu < 1.5, "an outage must not become a busy loop"
    assert reader.contact_age_s() > 2
    worker.send("out", b"k", b"never acknowledged")
    with pytest.raises(LogUnavailable):
        worker.commit(group, {IN: 1})
    assert time.monotonic() - began < 60

    broker.start()
    worker.close()
    worker = log.sink("worker")
    plain.send("in", b"k", b"2")
    plain.flush()
    assert read(group, 1) == [b"2"]
    worker.send("out", b"k", b"2")
    worker.commit(group, {IN: 2})
    assert read(reader, 1) == [b"2"]
    assert reader.contact_age_s() < 2
    for opened in (plain, worker, group, reader):
        opened.close()


def test_a_transaction_that_is_begun_while_the_broker_is_away_completes_once_it_is_back(broker: LocalKafka) -> None:
    """kafka-python loses the request that finds no broker, and would wait for the delivery timeout of 30 s."""
    config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers)
    log = KafkaLog(config)
    plain, worker, group, reader = begun(log, config)

    broker.kill()
    worker.send("out", b"k", b"2")
    ending = worker.begin_commit(group, {IN: 1})
    with pytest.raises(TimeoutError):
        ending.result(2.0)
    broker.start()
    ending.result(config.delivery_timeout_s / 2)
    assert read(reader, 2) == [b"1", b"2"]
    for opened in (plain, worker, group, reader):
        opened.close()


def test_an_outage_costs_no_lease_that_the_group_still_knows(broker: LocalKafka) -> None:
    """A source gives up after 15 s of silence, and a training of hours must not be lost by that."""
    config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers, session_timeout_s=LEASE_SESSION_S)
    with KafkaAdmin(config) as admin:
        admin.create(MODELS, partitions=1, replication_factor=1, settings={})
    log = KafkaLog(config)
    lease, other = trainers_lease(WatchedLog(log, TurnCounter())), trainers_lease(log)
    until_s = time.monotonic() + PATIENCE_S
    while not lease.acquire():
        assert time.monotonic() < until_s, "nobody else has it"

    broker.kill()
    with pytest.raises(LogUnavailable):
        lease.require()
    until_s = time.monotonic() + SILENT_S + 5.0
    while time.monotonic() < until_s:
        assert lease.keep()

    broker.start()
    until_s = time.monotonic() + LEASE_SESSION_S + 5.0  # a session that was not kept would have ended by then
    while time.monotonic() < until_s:
        assert lease.keep()
        time.sleep(0.2)
    lease.require()
    assert not other.acquire()
    lease.release()
    assert log.member(GROUP, LEASE) is None
