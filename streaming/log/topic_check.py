"""Creates missing topics, reports differences in the others, grows them on request. Never deletes one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from streaming.errors import ConfigError
from streaming.log.topics import HOUR_MS, TOPICS, Partitioning, Topic, TopicsConfig
from streaming.record_format.compression import NAMES, can_unpack

MAX_MESSAGE_BYTES = 4_194_304  # a megabyte of text, escaped as JSON, is up to twice as long
SEGMENT_BYTES = 134_217_728
COMPRESSION = "compression.type"
PRODUCERS = "producer"
COMPACTED_SEGMENT_MS = 600_000  # the newest segment is never compacted: short ones keep the topic as small as its keys
COMPACTED_SEGMENT_BYTES = 33_554_432


class TopicAdmin(Protocol):
    """Administration of a cluster's topics. KafkaAdmin is one. Each call raises LogUnavailable if no broker answers."""

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Number of partitions of each of the topics that exist."""

    def replication_factors(self, topics: Sequence[str]) -> Mapping[str, int]:
        """Number of replicas of each of the topics that exist."""

    def settings(self, topic: str) -> Mapping[str, str]:
        """All settings of a topic that are in force."""

    def grow(self, topic: str, partitions: int) -> None:
        """Grows a topic to `partitions`; no error where it has them already."""

    def create(self, topic: str, *, partitions: int, replication_factor: int, settings: Mapping[str, str]) -> None:
        """Creates a topic; no error where it exists already."""


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """A property of a topic that differs from what is expected."""

    what: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class TopicReport:
    """Result of the check of a topic. `topic` is its name on the cluster, with the prefix.

    compression: the topic's compression.type; `producer` leaves batches as producers compressed them.
    """

    topic: str
    state: Literal["created", "grown", "ok", "differs"]
    partitions: int
    differences: tuple[TopicDifference, ...] = ()
    compression: str = PRODUCERS  # the broker's codec


def check_topics(admin: TopicAdmin, config: TopicsConfig) -> list[TopicReport]:
    """Creates missing topics; reports on each topic, in the order of the table. Raises LogError, LogUnavailable."""
    return _checked(admin, config, frozenset())


def grow_topics(admin: TopicAdmin, config: TopicsConfig, partitionings: Collection[Partitioning]) -> list[TopicReport]:
    """Grows topics of these partitionings that have fewer partitions than configured, and does `check_topics`.

    Raises ConfigError, before any change, where a topic has more than configured: partitions are never removed.
    """
    names = {config.prefix + topic.name: topic for topic in TOPICS.values() if topic.partitioning in partitionings}
    found = admin.partition_counts(list(names))
    for name, topic in names.items():
        wanted = config.partitions_of(topic)
        if found.get(name, 0) > wanted:
            least = max(found.get(n, 0) for n, t in names.items() if t.partitioning == topic.partitioning)
            raise ConfigError(
                f"topic {name} has {found[name]} partitions, and {wanted} are asked for: Kafka takes none away. Ask "
                f"for {least} at least, so that topics that belong together have as many"
            )
    grown = [name for name in names if name in found and found[name] < config.partitions_of(names[name])]
    for name in grown:
        admin.grow(name, config.partitions_of(names[name]))
    return _checked(admin, config, grown)


def _checked(admin: TopicAdmin, config: TopicsConfig, grown: Collection[str]) -> list[TopicReport]:
    names = [config.prefix + topic.name for topic in TOPICS.values()]
    partitions = admin.partition_counts(names)
    replicas = admin.replication_factors(names)
    reports = [
        _compare(admin, config, topic, partitions[name], replicas[name])
        if name in partitions
        else _create(admin, config, topic)
        for name, topic in zip(names, TOPICS.values(), strict=True)
    ]
    return [replace(one, state="grown") if one.topic in grown and one.state == "ok" else one for one in reports]


def settings_of(topic: Topic, replication_factor: int) -> dict[str, str]:
    """The settings with which a topic is created. All others are the cluster's defaults."""
    settings = {
        "cleanup.policy": "compact" if topic.compact else "delete",
        # Time on the log is the broker's: windows close and rooms time out by it, whatever clock a producer has
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        "segment.bytes": str(SEGMENT_BYTES),
    }
    if topic.compact:
        settings["segment.ms"] = str(COMPACTED_SEGMENT_MS)
        settings["segment.bytes"] = str(COMPACTED_SEGMENT_BYTES)
        settings["min.cleanable.dirty.ratio"] = "0.1"
    if topic.retention_ms is not None:
        settings["retention.ms"] = str(topic.retention_ms)
        if topic.compact:
            settings["cleanup.policy"] = "compact,delete"
        else:
            settings["segment.ms"] = str(HOUR_MS)  # a segment is deleted whole, so 6 hours are kept up to 7
    if replication_factor >= 3:
        settings["min.insync.replicas"] = "2"  # one broker may be away, and no acknowledged record is on one disk only
    return settings


def _create(admin: TopicAdmin, config: TopicsConfig, topic: Topic) -> TopicReport:
    name, partitions = config.prefix + topic.name, config.partitions_of(topic)
    replicas = config.replication_factor
    admin.create(name, partitions=partitions, replication_factor=replicas, settings=settings_of(topic, replicas))
    return TopicReport(name, "created", partitions)


def _compare(admin: TopicAdmin, config: TopicsConfig, topic: Topic, partitions: int, replicas: int) -> TopicReport:
    name = config.prefix + topic.name
    found = admin.settings(name)
    expected = settings_of(topic, config.replication_factor)
    compared = [
        TopicDifference("partitions", str(config.partitions_of(topic)), str(partitions)),
        TopicDifference("replication factor", str(config.replication_factor), str(replicas)),
        *(TopicDifference(what, value, found.get(what, "not set")) for what, value in expected.items()),
    ]
    compression = found.get(COMPRESSION, PRODUCERS)
    differences = tuple(one for one in compared if not _same(one.expected, one.found))
    differences += _unreadable(compression)
    return TopicReport(name, "differs" if differences else "ok", partitions, differences, compression)


def _unreadable(compression: str) -> tuple[TopicDifference, ...]:
    """The difference that a codec makes which this build cannot unpack; empty for any other codec."""
    if compression in (PRODUCERS, "uncompressed") or can_unpack(compression):
        return ()
    readable = ", ".join(name for name in NAMES.values() if can_unpack(name))
    return (TopicDifference(COMPRESSION, f"one that this build can unpack ({readable})", compression),)


def _same(expected: str, found: str) -> bool:
    """Whether two settings are equal. Lists such as `compact,delete` come back in any order."""
    return sorted(expected.split(",")) == sorted(part.strip() for part in found.split(","))
