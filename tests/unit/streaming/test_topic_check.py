"""Owns what the topic check creates, what it calls a difference, and that it changes nothing that exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streaming.topic_check import Difference, check_topics, settings_of
from streaming.topics import TOPICS, TopicsConfig


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
        Difference("partitions", "4", "3"),
        Difference("replication factor", "1", "2"),
        Difference("retention.ms", "21600000", "1000"),
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
        "models": "compact",
        "dead-letter": "delete",
    }
    assert made["rooms"]["retention.ms"] == str(7 * 24 * 3_600_000)
    assert "retention.ms" not in made["room-states"]


def test_three_replicas_need_two_in_sync() -> None:
    assert settings_of(TOPICS["chat"], 3)["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in settings_of(TOPICS["chat"], 1)
