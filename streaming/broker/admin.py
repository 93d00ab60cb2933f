"""Looks at and creates topics of a Kafka cluster. Never changes or deletes one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

from streaming.broker.config import KafkaConfig
from streaming.broker.failure import quiet_client_log, translated


class KafkaAdmin:
    """Looks at and creates topics. Never changes or deletes one."""

    def __init__(self, config: KafkaConfig) -> None:
        quiet_client_log()
        with translated(f"connecting to Kafka at {config.bootstrap_servers}"):
            self._admin = KafkaAdminClient(**config.client())

    def __enter__(self) -> KafkaAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        """How many partitions each of the topics has that exist. Raises LogUnavailable."""
        with translated("looking at topics"):
            found = self._admin.describe_topics(list(topics))
        return {topic["name"]: len(topic["partitions"]) for topic in found if not topic["error_code"]}

    def replication_factors(self, topics: Sequence[str]) -> Mapping[str, int]:
        """How many replicas each of the topics has that exist."""
        with translated("looking at topics"):
            found = self._admin.describe_topics(list(topics))
        return {t["name"]: len(t["partitions"][0]["replica_nodes"]) for t in found if not t["error_code"]}

    def create(self, topic: str, *, partitions: int, replication_factor: int, settings: Mapping[str, str]) -> None:
        """Creates one topic and waits until it can be used; no error where another has created it meanwhile.

        Raises LogError, LogUnavailable.
        """
        new = NewTopic(topic, partitions, replication_factor, topic_configs=dict(settings))
        with translated(f"creating topic {topic}"):
            with contextlib.suppress(TopicAlreadyExistsError):
                self._admin.create_topics([new])
            self._admin.wait_for_topics([topic])

    def settings(self, topic: str) -> Mapping[str, str]:
        """All settings in force of a topic."""
        with translated(f"looking at the settings of {topic}"):
            found = self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return {name: str(setting["value"]) for name, setting in found["topic"][topic].items()}

    def close(self) -> None:
        """Closes the connection."""
        self._admin.close()
