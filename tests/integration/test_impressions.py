"""Tests that answers go on while the broker is away, and that impressions come again with it."""

from __future__ import annotations

import time
from pathlib import Path

from actors.recommend.impressions import Impressions, ImpressionWriter
from actors.recommend.recommender import Query, Recommender
from actors.settings import RecommendConfig
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.codec import Decoder
from streaming.log.log import Partition
from streaming.log.topic_check import check_topics
from streaming.log.topics import IMPRESSIONS, TopicsConfig
from streaming.metrics import MemoryMetrics
from tests.eventually import eventually
from tests.reference import committed_values
from tests.unit.actors.replica import Replica

PATIENCE_S = 60.0
WAITING = 50


def test_answers_go_on_without_a_broker_and_impressions_come_again_with_it(tmp_path: Path) -> None:
    with LocalKafka(LocalKafkaConfig(folder=str(tmp_path / "kafka"), port=0, controller_port=0)) as broker:
        config = KafkaConfig(
            bootstrap_servers=broker.bootstrap_servers, delivery_timeout_s=11.0, connect_timeout_s=2.0
        ).in_bulk()
        with KafkaAdmin(config) as admin:
            check_topics(admin, TopicsConfig(viewer_partitions=1))
        replica, metrics = Replica(), MemoryMetrics()
        replica.room("a")
        impressions = Impressions(1.0, WAITING)
        recommender = Recommender(replica.tables, RecommendConfig(), metrics, replica.clock, impressions)
        writer = ImpressionWriter(KafkaLog(config), impressions, metrics)
        writer.start()

        def count(outcome: str) -> float:
            return metrics.value("impressions_total", outcome=outcome)

        recommender.recommend_json(Query(viewer="before"))
        eventually(lambda: count("written") == 1, "one is written")
        broker.kill()
        longest_s, asked = 0.0, 0
        while count("lost") == 0 or count("dropped") == 0:
            assert asked < 10_000, "nothing is lost or dropped"
            began_s = time.monotonic()
            recommender.recommend_json(Query(viewer="while"))
            longest_s = max(longest_s, time.monotonic() - began_s)
            asked += 1
            time.sleep(0.01)
        assert longest_s < 1.0  # no answer waited for the broker, which was away for longer than that
        broker.start()
        eventually(lambda: len(impressions) == 0, "what waited is written")
        recommender.recommend_json(Query(viewer="after"))
        assert writer.stop(PATIENCE_S)
        values = committed_values(KafkaLog(config), Partition(IMPRESSIONS, 0))
        assert values.keys() == {b"before", b"while", b"after"}
        assert Decoder(IMPRESSIONS)(values[b"after"]).rooms == ("a",)
        assert count("written") + count("lost") + count("dropped") == asked + 2
