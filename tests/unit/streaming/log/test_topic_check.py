"""Tests of what the topic check creates, what it calls a difference, and that it changes nothing that exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from streaming.errors import ConfigError
from streaming.log.log import TopicShape
from streaming.log.topic_check import TopicDifference, check_topics, grow_topics, settings_of
from streaming.log.topic_set import ROOM_TOPICS, VIEWER_TOPICS, half_grown
from streaming.log.topics import TOPICS, TopicsConfig


class Cluster:
    """A cluster whose topics are a table; it has nothing to change or delete one with."""

    def __init__(self) -> None:
        self.topics: dict[str, tuple[int, int, dict[str, str]]] = {}
        self.created: list[str] = []

    def partition_counts(self, topics: Sequence[str]) -> Mapping[str, int]:
        return {name: self.topics[name][0] for name in topics if name in self.topics}

    def replication_factors(self, topics: Sequence[str]) -> Mapping[str, int]:
        return {name: self.topics[name][1] for name in topics if name in self.topics}

    def settings(self, topic: str) -> Mapping[str, str]:
        return {"flush.ms": "9223372036854775807", **self.topics[topic][2]}

    def grow(self, topic: str, partitions: int) -> None:
        self.topics[topic] = (partitions, *self.topics[topic][1:])

    def create(self, topic: str, *, partitions: int, replication_factor: int, settings: Mapping[str, str]) -> None:
        self.topics[topic] = (partitions, replication_factor, dict(settings))
        self.created.append(topic)


def test_missing_topics_are_created_under_the_prefix_and_then_are_ok() -> None:
    cluster, config = Cluster(), TopicsConfig(prefix="staging.", room_partitions=8, viewer_partitions=2)
    assert {report.state for report in check_topics(cluster, config)} == {"created"}
    assert cluster.created == [f"staging.{name}" for name in TOPICS]
    assert [cluster.topics[f"staging.{name}"][0] for name in ("chat", "viewer-events", "models")] == [8, 2, 1]
    assert {report.state for report in check_topics(cluster, config)} == {"ok"}
    assert len(cluster.created) == len(TOPICS)


def test_what_differs_is_said_and_left_alone() -> None:
    cluster, config = Cluster(), TopicsConfig()
    check_topics(cluster, config)
    cluster.topics["chat"] = (3, 2, {**cluster.topics["chat"][2], "retention.ms": "1000"})
    before = dict(cluster.topics)
    report = next(report for report in check_topics(cluster, config) if report.topic == "chat")
    assert report.state == "differs"
    assert report.differences == (
        TopicDifference("partitions", "4", "3"),
        TopicDifference("replication factor", "1", "2"),
        TopicDifference("retention.ms", "21600000", "1000"),
    )
    assert cluster.topics == before


def test_the_order_in_a_list_is_no_difference() -> None:
    cluster, config = Cluster(), TopicsConfig()
    check_topics(cluster, config)
    cluster.topics["rooms"][2]["cleanup.policy"] = "delete,compact"
    assert all(report.state == "ok" for report in check_topics(cluster, config))


def test_every_topic_has_the_brokers_time_and_the_cleanup_of_the_design() -> None:
    made = {name: settings_of(topic, 1) for name, topic in TOPICS.items()}
    assert {settings["message.timestamp.type"] for settings in made.values()} == {"LogAppendTime"}
    assert {name: settings["cleanup.policy"] for name, settings in made.items()} == {
        "rooms": "compact,delete",
        "chat": "delete",
        "viewer-events": "delete",
        "room-activity": "delete",
        "room-states": "compact",
        "viewer-profiles": "compact",
        "impressions": "delete",
        "shown-rooms": "delete",
        "models": "compact",
        "rules": "compact",
        "dead-letter": "delete",
    }
    assert made["rooms"]["retention.ms"] == str(7 * 24 * 3_600_000)
    assert "retention.ms" not in made["room-states"]


def test_three_replicas_need_two_in_sync() -> None:
    assert settings_of(TOPICS["chat"], 3)["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in settings_of(TOPICS["chat"], 1)


def test_what_a_topic_is_packed_with_is_said_and_any_codec_that_can_be_unpacked_is_as_good() -> None:
    cluster, config = Cluster(), TopicsConfig()
    check_topics(cluster, config)
    for topic, codec in (("chat", "zstd"), ("rooms", "brotli"), ("viewer-events", "uncompressed")):
        cluster.topics[topic] = (*cluster.topics[topic][:2], {**cluster.topics[topic][2], "compression.type": codec})
    reports = {report.topic: report for report in check_topics(cluster, config)}
    assert [reports[topic].compression for topic in ("chat", "rooms", "models")] == ["zstd", "brotli", "producer"]
    assert {topic for topic, report in reports.items() if report.state == "differs"} == {"rooms"}
    [difference] = reports["rooms"].differences
    assert (difference.what, difference.found) == ("compression.type", "brotli")
    assert "gzip, snappy, lz4, zstd" in difference.expected


def test_topics_that_belong_together_grow_together_and_the_others_stay() -> None:
    cluster = Cluster()
    check_topics(cluster, TopicsConfig(room_partitions=2, viewer_partitions=2))
    cluster.grow("chat", 5)  # half-grown by hand
    reports = grow_topics(cluster, TopicsConfig(room_partitions=6, viewer_partitions=2), ["room"])
    assert {one.topic: one.state for one in reports} == {
        topic: "grown" if topic in ROOM_TOPICS else "ok" for topic in TOPICS
    }
    assert {topic: cluster.topics[topic][0] for topic in ROOM_TOPICS} == dict.fromkeys(ROOM_TOPICS, 6)
    assert {topic: cluster.topics[topic][0] for topic in VIEWER_TOPICS} == dict.fromkeys(VIEWER_TOPICS, 2)


def test_fewer_partitions_than_there_are_are_refused_before_anything_grows() -> None:
    cluster = Cluster()
    check_topics(cluster, TopicsConfig(room_partitions=2))
    cluster.grow("chat", 5)
    before = dict(cluster.topics)
    with pytest.raises(ConfigError, match=r"topic chat has 5 partitions, and 3 are asked for.*Ask for 5"):
        grow_topics(cluster, TopicsConfig(room_partitions=3), ["room"])
    assert cluster.topics == before


def test_a_half_grown_set_is_said_with_its_topics_and_the_command() -> None:
    shapes = {topic: TopicShape(3 if topic == "chat" else 1) for topic in ROOM_TOPICS}
    assert "chat 3" in half_grown(shapes)
    assert "tidecast topics --room-partitions 3" in half_grown(shapes)
    assert "--viewer-partitions 2" in half_grown({"viewer-events": TopicShape(2), "viewer-profiles": TopicShape(1)})
    assert half_grown({topic: TopicShape(3) for topic in ROOM_TOPICS}) == ""
