"""Owns which logs keep the contract: the one in memory and a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streaming.broker import KafkaAdmin, KafkaConfig, KafkaLog
from streaming.clock import SystemClock
from streaming.memory_log import MemoryLog
from tests.contract.opened_log import TOPICS, Opened


@pytest.fixture(params=["memory", "kafka"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    if request.param == "memory":
        memory = MemoryLog(SystemClock(), TOPICS)
        opened = Opened(memory, memory.expire)
    else:
        config: KafkaConfig = request.getfixturevalue("kafka_config")
        prefix: str = request.getfixturevalue("topic_prefix")
        with KafkaAdmin(config) as admin:
            for topic, count in TOPICS.items():
                settings = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "4194304"}
                admin.create(prefix + topic, partitions=count, replication_factor=1, settings=settings)
        opened = Opened(KafkaLog(config, prefix), lambda _group, _member: None)  # the broker's own clock does it
    yield opened
    opened.close()
