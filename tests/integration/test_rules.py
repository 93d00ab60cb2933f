"""Tests that an operator's rule reaches every replica in a second or so on a real Kafka, and outlives them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec import UNSET

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.rules.refused import RefusedRules
from actors.rules.writer import RuleWriter
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import TableReader, Tables
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.events import DeadLetter
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import Decoder, encode
from streaming.log.log import Partition, Record
from streaming.log.topic_check import check_topics
from streaming.log.topics import DEAD_LETTER, ROOM_STATES, RULES, TopicsConfig
from streaming.metrics import MemoryMetrics
from streaming.operator_rule import OperatorRule, RuleBody, rule_of
from tests.eventually import eventually
from tests.reference import records_of
from tests.unit.actors.replica import Replica
from training.experiments import Experiment, Variant

SETTLE_S = 60.0
HIDE_A = RuleBody(action="hide", rooms=("a",))


def letters(log: KafkaLog) -> list[Record]:
    """The records on the dead-letter topic."""
    return [*records_of(log, Partition(DEAD_LETTER, 0))]


class RunningReplica:
    """A replica's tables on a real Kafka, with what asks them."""

    def __init__(self, log: KafkaLog, configured: dict[str, OperatorRule]) -> None:
        clock, self.metrics = SystemClock(), MemoryMetrics()
        index = LiveIndex(IndexConfig(max_rooms=100))
        self.tables = Tables(TablesConfig(), index, self.metrics, clock, max_rooms=100, rules=configured)
        self.refused = RefusedRules(log, self.metrics, clock, lambda: True)
        self.tables.on_refused = self.refused.refuse
        self.recommender = Recommender(self.tables, RecommendConfig(), self.metrics, clock)
        self.reader = TableReader(log, self.tables, self.metrics)

    def shown(self) -> list[str]:
        return [item.room for item in self.recommender.recommend(Query(viewer="v")).rooms]


@contextmanager
def replicas(
    log: KafkaLog, num: int, configured: dict[str, OperatorRule] | None = None
) -> Iterator[list[RunningReplica]]:
    """Replicas that have read the log to its end."""
    running, stop = [RunningReplica(log, configured or {}) for _ in range(num)], threading.Event()
    threads = [threading.Thread(target=one.reader.run, args=(stop,), daemon=True) for one in running]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: all(one.reader.ready for one in running), "all are ready")
        yield running
    finally:
        stop.set()
        for thread in threads:
            thread.join(SETTLE_S)
        for one in running:
            one.refused.stop(SETTLE_S)


@pytest.fixture
def log(kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str) -> KafkaLog:
    """A log with two rooms."""
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix, room_partitions=2, viewer_partitions=2))
    story, sink = Replica(), kafka_log.sink()
    for room in ("a", "b"):
        sink.send(ROOM_STATES, room.encode(), encode(story.state(room)))
    sink.flush()
    sink.close()
    return kafka_log


def test_a_rule_is_in_force_in_every_replica_soon_and_after_a_restart(
    log: KafkaLog, record_property: Callable[[str, object], None]
) -> None:
    writer = RuleWriter(log, SystemClock())
    with replicas(log, 2) as running:
        assert [sorted(one.shown()) for one in running] == [["a", "b"]] * 2
        took_s = []
        for _ in range(5):
            writer.put("r", HIDE_A)
            took_s.append(
                eventually(lambda: all(one.shown() == ["b"] for one in running), "it is hidden everywhere", 0.005)
            )
            writer.delete("r")
            eventually(lambda: all(len(one.shown()) == 2 for one in running), "it is back everywhere")
        record_property("ms from the acknowledged rule to every replica", [round(1_000 * one) for one in took_s])
        writer.put("r", HIDE_A)
        writer.put("other", RuleBody(action="pin", rooms=("b",), enabled=False))
        eventually(lambda: all(one.shown() == ["b"] for one in running), "it is hidden everywhere")
    with replicas(log, 2) as running:  # new ones, which are ready only once they have read the rules
        assert [one.shown() for one in running] == [["b"]] * 2
        assert [len(one.tables.rules) for one in running] == [2, 2]


def test_a_configured_rule_counts_until_one_is_put_in_its_place(log: KafkaLog) -> None:
    writer = RuleWriter(log, SystemClock())
    with replicas(log, 2, {"r": rule_of("r", HIDE_A, 1_700_000_000_000)}) as running:
        assert [one.shown() for one in running] == [["b"]] * 2
        writer.put("r", RuleBody(action="hide", rooms=("b",)))
        eventually(lambda: all(one.shown() == ["a"] for one in running), "what was put counts")
        writer.delete("r")
        eventually(lambda: all(one.shown() == ["b"] for one in running), "the configured one is back")


def test_an_experiment_begins_with_the_rule_that_its_variant_switches_on_and_ends_with_it(log: KafkaLog) -> None:
    writer = RuleWriter(log, SystemClock())
    trial = Experiment(name="trial", variants=(Variant(name="without"), Variant(name="with", rules_on=("lift", "aim"))))
    viewers = {variant.name: viewer for n in range(99) if (variant := trial.variant_of(viewer := f"v{n}")) is not None}
    with replicas(log, 1) as (replica,):
        tables, config = replica.tables, RecommendConfig()
        recommender = Recommender(tables, config, replica.metrics, SystemClock(), experiments=[trial])

        def said(variant: str) -> tuple[object, list[object], object]:
            answer = recommender.recommend(Query(viewer=viewers[variant]))
            return answer.experiments, [item.rule for item in answer.rooms], answer.goals_rule

        untried = (UNSET, [UNSET, UNSET], UNSET)
        assert said("with") == said("without") == untried
        writer.put("lift", RuleBody(action="boost", rooms=("b",), weight=20, enabled=False))
        writer.put("aim", RuleBody(action="goals", goals={"stay": 1}, enabled=False))
        eventually(lambda: said("with") == ({"trial": "with"}, ["lift", UNSET], "aim"), "the variant has its rules")
        assert said("without") == ({"trial": "without"}, [UNSET, UNSET], UNSET)
        writer.delete("lift")
        eventually(lambda: said("with") == said("without") == untried, "the experiment is over")


def test_a_record_that_is_no_rule_is_a_dead_letter_and_the_rule_before_it_stays(log: KafkaLog) -> None:
    RuleWriter(log, SystemClock()).put("r", HIDE_A)
    with replicas(log, 1) as (replica,):
        sink = log.sink()
        sink.send(RULES, b"r", b"rubbish")
        sink.send(RULES, b"later", encode(rule_of("later", HIDE_A, 1_700_000_000_000)))
        sink.flush()
        sink.close()
        eventually(lambda: len(replica.tables.rules) == 2, "the next rule is read")
        assert replica.shown() == ["b"]
        assert replica.metrics.value("undecodable_total", topic=RULES) == 1
        eventually(lambda: len(letters(log)) == 1, "there is a letter")
        letter: DeadLetter = Decoder(DEAD_LETTER)(letters(log)[0].value or b"")
        assert (letter.topic, letter.key, letter.value) == (RULES, b"r", b"rubbish")
        assert replica.metrics.value("dead_letters_total", topic=RULES, reason="malformed") == 1
