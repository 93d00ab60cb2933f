"""Tests of how a member of a group finds its way back on a real Kafka."""

from __future__ import annotations

import time
from typing import Any

from kafka.structs import MemberState

from streaming.broker import KafkaAdmin, KafkaLog
from streaming.broker.source import KafkaSource
from streaming.kafka_config import KafkaConfig
from streaming.log.log import Partition

PATIENCE_S = 10.0  # less than the silence after which a source gives up


def settled(source: KafkaSource) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not source.poll(0.1).assigned:
        assert time.monotonic() < until_s, "no partition was assigned"


def test_a_member_that_is_in_no_group_and_wants_into_none_joins(
    kafka_log: KafkaLog, kafka_config: KafkaConfig, topic_prefix: str
) -> None:
    with KafkaAdmin(kafka_config) as admin:
        admin.create(f"{topic_prefix}in", partitions=1, replication_factor=1, settings={})
    source = kafka_log.group(["in"], "g", "0")
    settled(source)
    coordinator: Any = source._consumer._coordinator
    coordinator.state = MemberState.REBALANCING  # as it was seen; kafka-python never leaves this by itself
    broken_s = time.monotonic()
    while coordinator.heartbeat.last_receive < broken_s or not coordinator.stable():
        source.poll(0.1)
        assert time.monotonic() < broken_s + PATIENCE_S, "no heartbeat since"
    assert not coordinator.need_rejoin()
    source.close()


def test_a_rebalance_waits_for_the_poll_after_the_one_that_hears_of_it(
    kafka_log: KafkaLog, kafka_config: KafkaConfig, topic_prefix: str
) -> None:
    """So that what was computed is committed while the partitions are still this member's."""
    with KafkaAdmin(kafka_config) as admin:
        admin.create(f"{topic_prefix}in", partitions=2, replication_factor=1, settings={})
    first = kafka_log.group(["in"], "g", "0")
    settled(first)
    assert first.rebalance() == "none"
    second = kafka_log.group(["in"], "g", "1")
    until_s = time.monotonic() + PATIENCE_S
    while first.rebalance() != "waits":
        assert time.monotonic() < until_s, "the group never wanted to rebalance"
        assert not first.poll(0.1).revoked
        second.poll(0.1)
    sink = kafka_log.sink("t")
    sink.send("in", b"k", b"computed for both partitions", 0)
    sink.commit(first, {Partition("in", 0): 0, Partition("in", 1): 0})
    while not (revoked := first.poll(0.1).revoked):
        assert time.monotonic() < until_s + PATIENCE_S, "nothing was revoked"
        second.poll(0.1)
    assert revoked == (Partition("in", 1),)
    for one in (sink, first, second):
        one.close()


def test_a_member_that_leaves_while_it_joins_is_not_waited_for(
    kafka_log: KafkaLog, kafka_config: KafkaConfig, topic_prefix: str
) -> None:
    """A process that ends within its first second: its partitions waited for the end of its session."""
    with KafkaAdmin(kafka_config) as admin:
        admin.create(f"{topic_prefix}in", partitions=2, replication_factor=1, settings={})
    stays = kafka_log.group(["in"], "g", "stays")
    settled(stays)
    goes = kafka_log.group(["in"], "g", "goes")
    until_s = time.monotonic() + PATIENCE_S
    while kafka_log.member("g", "goes") is None:  # the group has it, and waits for the other one to join again
        goes.poll(0.1)
        assert time.monotonic() < until_s
    assert goes.member_id() == ""
    goes.leave()
    goes.close()
    assert kafka_log.member("g", "goes") is None
    while stays.rebalance() != "none" or len(stays.lag()) < 2:
        stays.poll(0.1)
        assert time.monotonic() < until_s
    stays.close()
