"""Tests of how a member of a group finds its way back on a real Kafka."""

from __future__ import annotations

import time
from typing import Any

from kafka.structs import MemberState

from streaming.broker import KafkaAdmin, KafkaLog
from streaming.broker.source import KafkaSource
from streaming.kafka_config import KafkaConfig

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
