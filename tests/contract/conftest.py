"""Tests of which logs keep the contract: the one in memory and a real Kafka."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from kafka.admin import KafkaAdminClient

from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.kafka_config import KafkaConfig
from streaming.log.memory_log import MemoryLog
from tests.contract.opened_log import TOPICS, Opened

FETCH_S = 1.2  # as long as a broker holds back an answer, and a little more


def create(admin: KafkaAdmin, prefix: str, topic: str) -> None:
    settings = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "4194304"}
    admin.create(prefix + topic, partitions=TOPICS[topic], replication_factor=1, settings=settings)


@pytest.fixture(params=["memory", "kafka"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    if request.param == "memory":
        memory = MemoryLog(SystemClock(), TOPICS)
        opened = Opened(memory, memory.expire, memory.grow, memory.remake)
    else:
        config: KafkaConfig = request.getfixturevalue("kafka_config")
        prefix: str = request.getfixturevalue("topic_prefix")
        with KafkaAdmin(config) as admin:
            for topic in TOPICS:
                create(admin, prefix, topic)

        def expire(group: str, member: str) -> None:
            """Does at once what the broker's clock does when a session has ended."""
            with KafkaAdmin(config) as admin:
                if (found := admin.member(prefix + group, member)) is not None:
                    admin.remove_member(prefix + group, member, found.member_id)

        def grow(topic: str, partitions: int) -> None:
            with KafkaAdmin(config) as admin:
                admin.grow(prefix + topic, partitions)

        def remake(topic: str) -> None:
            client = KafkaAdminClient(**config.client())
            client.delete_topics([prefix + topic])
            with KafkaAdmin(config) as admin:
                while admin.partition_counts([prefix + topic]):
                    threading.Event().wait(0.05)
                threading.Event().wait(FETCH_S)  # a fetch by name that waits meanwhile would not notice
                create(admin, prefix, topic)
            client.close()

        opened = Opened(
            KafkaLog(config, prefix),
            expire,
            grow,
            remake,
        )
    yield opened
    opened.close()
