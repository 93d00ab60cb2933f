"""Tests that an erased viewer is forgotten by real workers and a real replica's tables on a real Kafka, for good."""

from __future__ import annotations

import threading
import time

from actors.index.live_index import LiveIndex
from actors.intake.erasures import ErasureWriter
from actors.recommend.recommender import Query, Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import TableReader, Tables
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.events import Action, RoomStarted, ViewerEvent, ViewerId
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import encode
from streaming.log.topic_check import check_topics
from streaming.log.topics import ROOMS, VIEWER_EVENTS, VIEWER_PROFILES, TopicsConfig
from streaming.metrics import MemoryMetrics
from streaming.viewer.presence import is_erased
from streaming.viewer.profile_config import ProfileConfig
from tests.eventually import eventually
from tests.integration.worker_group import WorkerProcess
from tests.reference import (
    committed_values,
    expected_activity,
    expected_profiles,
    published_activity,
    published_profiles,
)


class Viewers:
    """Producers of a platform with one viewer of interest."""

    def __init__(self, log: KafkaLog) -> None:
        self._sink = log.sink()
        self._sink.send(ROOMS, b"a", encode(RoomStarted(room="a", streamer="ana", at_ms=now_ms())))
        self._sink.flush()

    def did(self, viewer: str, action: Action, at_ms: int | None = None) -> None:
        event = ViewerEvent(viewer=viewer, room="a", streamer="ana", action=action, at_ms=at_ms or now_ms())
        self._sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))
        self._sink.flush()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def audience(log: KafkaLog) -> int:
    return sum(one["entered"] - one["left"] for one in published_activity(log).values())


def marks(log: KafkaLog) -> set[bytes]:
    values = [one for p in log.partitions(VIEWER_PROFILES) for one in committed_values(log, p).items()]
    return {key for key, value in values if is_erased(key, value)}


def test_an_erased_viewer_is_forgotten_by_workers_and_replicas_and_stays_so(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str
) -> None:
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix, room_partitions=2, viewer_partitions=2))
    viewers, metrics, clock = Viewers(kafka_log), MemoryMetrics(), SystemClock()
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig(max_rooms=1_000)), metrics, clock, max_rooms=1_000)
    recommender = Recommender(tables, RecommendConfig(), metrics, clock)
    stop = threading.Event()
    reader = threading.Thread(target=TableReader(kafka_log, tables, metrics).run, args=(stop,), daemon=True)
    reader.start()
    servers = kafka_config.bootstrap_servers
    workers = [WorkerProcess(kind, servers, topic_prefix, "0") for kind in ("profile", "room")]

    def known(viewer: str) -> bool:
        return recommender.recommend(Query(viewer=viewer)).known

    try:
        began_ms = now_ms()
        viewers.did("v", "enter")
        viewers.did("w", "enter")
        eventually(lambda: known("v") and known("w"), "both are known")
        eventually(lambda: audience(kafka_log) == 2, "both are there")
        at_ms = ErasureWriter(kafka_log, clock).erase(ViewerId("v"))
        ErasureWriter(kafka_log, clock).erase(ViewerId("v"))  # as a proxy may ask twice
        eventually(lambda: not known("v"), "the replica forgets")
        eventually(lambda: audience(kafka_log) == 1, "the viewer left")
        assert known("w")

        workers[0].kill()
        workers[0] = WorkerProcess("profile", servers, topic_prefix, "0")
        viewers.did("v", "enter", began_ms)  # comes late, to a worker that has just started
        viewers.did("v", "watch", at_ms)
        viewers.did("x", "enter")  # so that it is seen when all before was read
        eventually(lambda: known("x") and audience(kafka_log) == 2, "the worker is back")
        profile = ProfileConfig()
        eventually(lambda: published_profiles(kafka_log) == expected_profiles(kafka_log, profile), "all is read")
        assert marks(kafka_log) == {b"v"}
        assert not known("v")

        viewers.did("v", "enter", began_ms)
        viewers.did("v", "like")  # later: a new, empty profile
        eventually(lambda: known("v"), "the viewer came again")
        (again,) = [one for one in published_profiles(kafka_log).values() if one.viewer == "v"]
        assert (again.total_events, again.total_visits, again.room) == (1, 0, None)
        assert published_activity(kafka_log) == expected_activity(kafka_log, profile)
    finally:
        stop.set()
        reader.join(10)
        for worker in workers:
            worker.kill()
