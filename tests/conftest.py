"""What all tests share: fixed examples, one real Kafka for the whole run, and names of their own for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from streaming.broker import KafkaLog
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig

# The same examples on every run, and no deadline: a busy machine is no failure
settings.register_profile("tidecast", derandomize=True, deadline=None)
settings.load_profile("tidecast")

_PREFIXES = itertools.count(1)


@pytest.fixture(scope="session")
def local_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A real broker on free ports. Shared: a test that kills a broker starts its own."""
    folder = tmp_path_factory.mktemp("kafka")
    with LocalKafka(LocalKafkaConfig(folder=str(folder), port=0, controller_port=0)) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(local_kafka: LocalKafka) -> str:
    """The real broker's address, host:port."""
    return local_kafka.bootstrap_servers


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topics, groups and transactional ids that no other test has."""
    return f"t{os.getpid()}-{next(_PREFIXES)}."


@pytest.fixture
def kafka_config(kafka: str) -> KafkaConfig:
    """How the real broker is reached, with a short session timeout."""
    return KafkaConfig(
        bootstrap_servers=kafka, session_timeout_s=4.0
    )  # 2 s of silence happen on a machine that is shared


@pytest.fixture
def kafka_log(kafka_config: KafkaConfig, topic_prefix: str) -> KafkaLog:
    """A log on the real broker under a prefix of its own. Create its topics with KafkaAdmin or check_topics."""
    return KafkaLog(kafka_config, topic_prefix)


@pytest.fixture(autouse=True)
def _niceness_as_before() -> Iterator[None]:
    """Who gives way in this process does so for good, and so does all that it starts: later tests would differ."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    yield
    assert os.getpriority(os.PRIO_PROCESS, 0) == before, "the tests after this one would run at another niceness"
