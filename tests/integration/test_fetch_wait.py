"""Tests that records do not wait for a fetch that is not theirs: one that lacks them, or asks for what comes next."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import TopicPartition

from streaming.broker import KafkaAdmin, KafkaLog
from streaming.broker.ends import ask_for_ends
from streaming.broker.source import KafkaSource
from streaming.kafka_config import KafkaConfig
from streaming.log.log import Partition, Sink

WAIT_S = 9.0  # under the ten seconds after which a request counts as lost
ZERO, ONE = Partition("t", 0), Partition("t", 1)


@pytest.fixture
def opened(kafka_config: KafkaConfig, topic_prefix: str) -> Iterator[tuple[KafkaSource, Sink]]:
    with KafkaAdmin(kafka_config) as admin:
        admin.create(topic_prefix + "t", partitions=2, replication_factor=1, settings={})
    log = KafkaLog(dataclasses.replace(kafka_config, fetch_max_wait_ms=int(WAIT_S * 1000)), topic_prefix)
    source, sink = log.reader([ZERO, ONE]), log.sink()
    assert isinstance(source, KafkaSource)
    yield source, sink
    sink.close()
    source.close()


def send(sink: Sink, partition: Partition, value: bytes) -> None:
    sink.send("t", b"k", value, partition=partition.index)
    sink.flush()


def read(source: KafkaSource) -> list[tuple[Partition, bytes | None]]:
    while not (records := source.poll(0.1).records):
        pass
    return [(where, record.value) for where, found in records.items() for record in found]


def test_a_partition_that_a_fetch_lacks_is_read_before_that_fetch_has_waited(
    opened: tuple[KafkaSource, Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state after a broker's restart: positions are compared with what it has before they are fetched from."""
    source, sink = opened
    consumer: Any = source._consumer
    send(sink, ZERO, b"a")
    assert read(source) == [(ZERO, b"a")]
    with monkeypatch.context() as patch:
        patch.setattr(consumer._fetcher, "validate_offsets_if_needed", lambda timeout_ms=None: None)
        there = next(one for one in consumer.assignment() if one.partition == 0)
        assert consumer._subscription.request_position_validation(there)
        send(sink, ONE, b"b")
        assert read(source) == [(ONE, b"b")]
        assert not source.poll(0.1).records  # the next fetch is under way, without partition 0
        assert not consumer._subscription.is_fetchable(there)
    began_s = time.monotonic()
    send(sink, ZERO, b"c")
    assert read(source) == [(ZERO, b"c")]
    assert time.monotonic() - began_s < WAIT_S / 2


def test_while_topics_are_doubted_fetches_do_not_hold_up_the_metadata_that_tell(
    opened: tuple[KafkaSource, Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker answers one request of a connection after the other."""
    source, sink = opened
    send(sink, ZERO, b"a")
    assert read(source) == [(ZERO, b"a")]  # no fetch is under way now
    with monkeypatch.context() as patch:
        patch.setattr(source._consumer._cluster, "request_update", lambda: None)
        source._shapes.doubt()
        assert not source.poll(1.0).records
        assert source.contact_age_s() < 0.5
    source._shapes.doubt()
    send(sink, ONE, b"b")
    assert read(source) == [(ONE, b"b")]
    assert not source._shapes.in_doubt()


def test_where_a_partition_ends_is_asked_without_waiting_for_the_fetch_that_is_under_way(
    opened: tuple[KafkaSource, Sink],
) -> None:
    """Whoever is given a partition, or meets one that cannot be read, goes on with the others meanwhile."""
    source, sink = opened
    send(sink, ZERO, b"a")
    assert read(source) == [(ZERO, b"a")]
    assert not source.poll(0.2).records  # a fetch is under way now
    told: dict[TopicPartition, int] = {}
    there = next(one for one in source._consumer.assignment() if one.partition == 0)
    ask_for_ends(source._consumer, [there], told.update)
    assert told == {}
    send(sink, ONE, b"b")
    assert read(source) == [(ONE, b"b")]
    deadline_s = time.monotonic() + WAIT_S / 2
    while not told and time.monotonic() < deadline_s:
        assert not source.poll(0.1).records
    assert told == {there: 1}
