"""Tests on a real Kafka that replicas know what others have shown: within seconds, until the viewer enters it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from actors.recommend.impressions import ImpressionWriter
from actors.recommend.recommender import Query, Recommender
from actors.recommend.schema import Item
from actors.settings import RecommendConfig
from actors.state.shown_queue import ShownQueue
from actors.state.shown_reader import ShownReader
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.kafka_config import KafkaConfig
from streaming.log.topic_check import check_topics
from streaming.log.topics import SHOWN_ROOMS, TopicsConfig
from tests.eventually import eventually
from tests.unit.actors.replica import Replica, axis

PATIENCE_S = 60.0
CONFIG = RecommendConfig(shown_cost=1.0, shown_most_cost=3.0)


class Told(Replica):
    """A replica that tells and is told over Kafka what was shown. Its rooms and profiles are written by hand."""

    def __init__(self, name: str) -> None:
        super().__init__(config=CONFIG)
        self.queue = ShownQueue(name, 1_000)
        self.recommender = Recommender(self.tables, CONFIG, self.metrics, self.clock, shown=self.queue)
        for number in range(15):
            self.room(f"r{number}", title_vector=axis(1), entered=20 - number, category=f"c{number}")
        self.room("first", entered=900, title_vector=axis(1), category="c")

    def lost(self, viewer: str = "v") -> float:
        """What the room `first` has lost for the viewer."""
        answer = self.recommender.recommend(Query(viewer=viewer, limit=100, explain=True, shown=False))
        item: Item = next(item for item in answer.rooms if item.room == "first")
        assert isinstance(item.terms, dict)
        return -item.terms.get("shown", 0.0)

    @contextmanager
    def running(self, log: KafkaLog) -> Iterator[Told]:
        assert self.recommender.shown is not None
        writer = ImpressionWriter(log, self.queue, self.metrics, SHOWN_ROOMS)
        table, stop = self.recommender.shown.table, threading.Event()
        reader = ShownReader(log, table, self.tables, self.metrics, self.queue.writer)
        thread = threading.Thread(target=reader.run, args=(stop,))
        thread.start()
        writer.start()
        try:
            yield self
        finally:
            stop.set()
            assert writer.stop(PATIENCE_S)
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_what_one_replica_has_shown_another_lowers_within_seconds_until_it_is_entered(
    kafka_config: KafkaConfig, topic_prefix: str
) -> None:
    log = KafkaLog(kafka_config, topic_prefix)
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix))
    with ExitStack() as stack:
        a, b = (stack.enter_context(Told(name).running(log)) for name in "ab")
        b.recommender.recommend(Query(viewer="w"))
        eventually(lambda: a.lost("w") == 1, "both replicas read")
        assert a.shown("v", shown=False)[0] == b.shown("v", shown=False)[0] == "first"
        for _ in range(3):
            a.shown("v")
        assert abs(a.lost() - 3) < 0.01  # at once, where it was shown
        eventually(lambda: abs(b.lost() - 3) < 0.01, "the other replica lowers it as well")
        b.room("newer", title_vector=axis(1), category="new")
        assert b.shown("v", shown=False)[0] == "newer"
        for replica in (a, b):
            replica.clock.advance(1_000)
            replica.viewer("v", "first")
            assert replica.lost() == 0
        a.shown("v")
        eventually(lambda: abs(b.lost() - 1) < 0.01, "what was before the visit counts no more")
        assert b.lost("w") > 0.9


def test_a_replica_that_starts_later_reads_what_was_shown(kafka_config: KafkaConfig, topic_prefix: str) -> None:
    log = KafkaLog(kafka_config, topic_prefix)
    late = Told("late")
    with ExitStack() as stack:
        early = stack.enter_context(Told("early").running(log))  # before the topic is there: it waits for it
        early.shown("v")
        with KafkaAdmin(kafka_config) as admin:
            check_topics(admin, TopicsConfig(prefix=topic_prefix))
        written = "shown_rooms_total"
        eventually(
            lambda: early.shown("w") != [] and early.metrics.value(written, outcome="written") > 0, "it is written"
        )
        stack.enter_context(late.running(log))
        eventually(lambda: late.lost("w") > 0.9, "the late one reads it")
