"""Describes, creates and grows topics of a Kafka cluster. Never deletes one, never changes its settings."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, MemberToRemove, NewTopic
from kafka.errors import CoordinatorNotAvailableError, TopicAlreadyExistsError

from streaming.broker.failure import connecting, quiet_client_log, translated
from streaming.kafka_config import KafkaConfig
from streaming.log.log import TopicShape

GROUPS_S = 5.0


class GroupMemberInfo(NamedTuple):
    """A process that is a member of a group, and the partitions that the group has given it, by their full names."""

    member_id: str
    host: str
    partitions: tuple[TopicPartition, ...]


class KafkaAdmin:
    """Administration of the topics of a Kafka cluster. Never deletes one, never changes its settings."""

    def __init__(self, config: KafkaConfig) -> None:
        quiet_client_log()
        with connecting(config.bootstrap_servers):
            self._admin = KafkaAdminClient(**config.client())

    def __enter__(self) -> KafkaAdmin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Number of partitions of each of the topics that exist. Raises LogUnavailable."""
        with translated("looking at topics"):
            found = self._admin.describe_topics(list(topics))
        return {topic["name"]: len(topic["partitions"]) for topic in found if not topic["error_code"]}

    def shapes(self, topics: Sequence[str]) -> Mapping[str, TopicShape]:
        """Shape of each of the topics that exist. Raises LogUnavailable."""
        with translated("looking at topics"):
            found = self._admin.describe_topics(list(topics))
        return {
            t["name"]: TopicShape(len(t["partitions"]), made_of(t["topic_id"])) for t in found if not t["error_code"]
        }

    def replication_factors(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Number of replicas of each of the topics that exist."""
        with translated("looking at topics"):
            found = self._admin.describe_topics(list(topics))
        return {t["name"]: len(t["partitions"][0]["replica_nodes"]) for t in found if not t["error_code"]}

    def create(self, topic: str, *, partitions: int, replication_factor: int, settings: Mapping[str, str]) -> None:
        """Creates one topic and waits until it is usable; no error where it exists already.

        Raises LogError, LogUnavailable.
        """
        new = NewTopic(topic, partitions, replication_factor, topic_configs=dict(settings))
        with translated(f"creating topic {topic}"):
            with contextlib.suppress(TopicAlreadyExistsError):
                self._admin.create_topics([new])
            self._admin.wait_for_topics([topic])

    def grow(self, topic: str, partitions: int) -> None:
        """Grows a topic to `partitions`; no error where it has as many already. Raises LogError, LogUnavailable."""
        with translated(f"growing topic {topic}"):
            if self.partition_counts([topic]).get(topic) != partitions:
                self._admin.create_partitions({topic: partitions})
                self._admin.wait_for_topics([topic])

    def settings(self, topic: str) -> Mapping[str, str]:
        """All settings of a topic that are in force."""
        with translated(f"looking at the settings of {topic}"):
            found = self._admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return {name: str(setting["value"]) for name, setting in found["topic"][topic].items()}

    def holder(self, topic: str, partition: int, offset: int) -> str:
        """Describes, for a person, the producer whose transaction has been open in a partition since an offset.

        Raises LogError, LogUnavailable: the broker is older than Kafka 3.0, or does not allow the request.
        """
        there = TopicPartition(topic, partition)
        with translated(f"asking who writes to {topic} partition {partition}"):
            producers = self._admin.describe_producers([there])[there].active_producers
            found = [one for one in producers if one.current_transaction_start_offset == offset]
            if not found:
                return "a producer's transaction was open since then"
            producer = found[0]
            listed = self._admin.list_transactions(producer_id_filters=[producer.producer_id])
            names = [one.transactional_id for transactions in listed.values() for one in transactions]
            described = self._admin.describe_transactions(names)
        who = f"producer id {producer.producer_id}"
        timeout = ""
        for name, transaction in described.items():
            who = f"transactional id {name!r}, {who}"
            timeout = f", unless {transaction.transaction_timeout_ms / 1000:.0f} s end it before"
        return (
            f"a transaction that {who} has not ended holds everything behind it{timeout}. Have that producer commit or "
            f"abort; where it is gone for good: kafka-transactions.sh abort --topic {topic} --partition {partition} "
            f"--start-offset {offset}"
        )

    def member(self, group: str, name: str) -> GroupMemberInfo | None:
        """The process that is the static member `name` of a group now. Raises LogUnavailable."""
        with translated(f"asking who is member {name!r} of group {group!r}"):
            described = self._described(group)
        for one in described["members"]:
            if one["group_instance_id"] == name:
                assignment = one["member_assignment"] or {}
                topics = assignment.get("assigned_partitions", ()) if isinstance(assignment, dict) else ()
                there = tuple(TopicPartition(t["topic"], index) for t in topics for index in t["partitions"])
                return GroupMemberInfo(one["member_id"], one["client_host"].lstrip("/"), there)
        return None

    def _described(self, group: str) -> Mapping[str, Any]:
        """A group's description. A new cluster makes the topic of its groups at the first question after one."""
        deadline_s = time.monotonic() + GROUPS_S
        while True:
            try:
                found: Mapping[str, Any] = self._admin.describe_groups([group])[group]
            except CoordinatorNotAvailableError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)
            else:
                return found

    def remove_member(self, group: str, name: str, member_id: str) -> None:
        """Takes a static member out of a group; no effect where another process has its name. Raises LogUnavailable."""
        with translated(f"leaving group {group!r}"):
            self._admin.remove_group_members(group, [MemberToRemove(member_id, name)])

    def remove_member_at(self, group: str, name: str, host: str) -> None:
        """Takes a static member out of a group whose id is not known; no effect where it is a process at another host.

        Raises LogUnavailable. host: an IP address.
        """
        found = self.member(group, name)
        if found is not None and ip_address(found.host) == ip_address(host):
            self.remove_member(group, name, found.member_id)

    def close(self) -> None:
        """Closes the connection."""
        self._admin.close()


def made_of(topic_id: uuid.UUID | str | None) -> int:
    """Converts a topic's id to a number below 2^63; 0 where the broker has none (before Kafka 2.8)."""
    if topic_id is None:
        return 0
    return (topic_id if isinstance(topic_id, uuid.UUID) else uuid.UUID(topic_id)).int & 0x7FFF_FFFF_FFFF_FFFF
