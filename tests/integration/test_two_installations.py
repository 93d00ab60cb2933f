"""Tests of two installations on one Kafka, as an upgrade has them for minutes, and of workers that come and go.

Real processes on a real Kafka. Whatever happens, the state at the end is that of pure folds over the log.
"""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path

import pytest

from streaming.broker import KafkaAdmin, KafkaLog
from streaming.events import RoomEnded, RoomStarted, RoomUpdated
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import Decoder, encode
from streaming.log.partitioner import partition_of
from streaming.log.topic_check import check_topics
from streaming.log.topics import ROOM_STATES, ROOMS, TopicsConfig
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from tests.fake_encoder import FAKE_VERSION, fake_vectors
from tests.integration.test_workers import Platform, await_equal
from tests.integration.worker_group import Names, WorkerProcess, await_owners, await_true, installation, owners
from tests.reference import (
    committed_values,
    expected_activity,
    expected_profiles,
    expected_states,
    published_activity,
    published_profiles,
    published_states,
)

ROOM_PARTITIONS = 3
ALL = [("room", "0"), ("room", "1"), ("profile", "0")]


@pytest.fixture
def topics(kafka_config: KafkaConfig, topic_prefix: str) -> None:
    config = TopicsConfig(prefix=topic_prefix, room_partitions=ROOM_PARTITIONS, viewer_partitions=2)
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, config)


def assert_as_pure_folds(log: KafkaLog) -> None:
    profile, window = ProfileConfig(), WindowConfig()
    await_equal(lambda: published_profiles(log), lambda: expected_profiles(log, profile))
    await_equal(lambda: published_activity(log), lambda: expected_activity(log, profile))
    await_equal(lambda: published_states(log), lambda: expected_states(log, fake_vectors, FAKE_VERSION, window))


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_an_upgrade_is_one_hand_over_and_its_rollback_one_back(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str, end: str
) -> None:
    servers, sink = kafka_config.bootstrap_servers, kafka_log.sink()
    platform = Platform(sink, 60, seed=17)
    with Names(kafka_log, ALL) as names, installation(servers, topic_prefix, 2) as old:
        platform.play(1.0)
        for kind in ("room", "profile"):
            await_owners(kafka_log, kind, [name for of, name in ALL if of == kind])
        before = owners(kafka_log, "room", ["0", "1"]) + owners(kafka_log, "profile", ["0"])
        with installation(servers, topic_prefix, 2) as new:
            for kind in ("room", "profile"):
                await_owners(kafka_log, kind, [name for of, name in ALL if of == kind], other_than=before)
            platform.play(8.0)
            assert all(worker.is_alive for worker in old + new), "who has lost its name stands by"
            upgraded = owners(kafka_log, "room", ["0", "1"]) + owners(kafka_log, "profile", ["0"])
            for worker in new:
                worker.stop() if end == "stopped" else worker.kill()
            platform.play(2.0)
        for kind in ("room", "profile"):
            await_owners(kafka_log, kind, [name for of, name in ALL if of == kind], other_than=before + upgraded)
        platform.play(3.0)
        assert all(worker.is_alive for worker in old)
        sink.close()
        assert_as_pure_folds(kafka_log)
    assert {name: len(ids) for name, ids in names.seen.items()} == dict.fromkeys(ALL, 3), "old, new, and old again"


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize("freeze", ["before", "after"])
def test_an_ended_room_stays_ended_when_a_worker_wakes_up_that_was_frozen_while_it_published(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str, tmp_path: Path, freeze: str
) -> None:
    """Its partitions are another worker's by then, under another name: no transactional id fences it."""
    servers, file = kafka_config.bootstrap_servers, tmp_path / "freeze"
    options = ("--transaction-timeout-s", "60", "--freeze", freeze, "--freeze-file", str(file))
    zombie = WorkerProcess("room", servers, topic_prefix, "2", *options)
    others = [WorkerProcess("room", servers, topic_prefix, name) for name in ("0", "1")]
    room = next(name for name in map("room{}".format, range(99)) if partition_of(name.encode(), ROOM_PARTITIONS) == 2)
    sink = kafka_log.sink()

    def tell(event: RoomStarted | RoomUpdated | RoomEnded) -> None:
        sink.send(ROOMS, room.encode(), encode(event))
        sink.flush()

    def status() -> str:
        found = committed_values(kafka_log, kafka_log.partitions(ROOM_STATES)[2]).get(room.encode())
        return "none" if found is None else str(Decoder(ROOM_STATES)(found).status)

    try:
        await_owners(kafka_log, "room", ["0", "1", "2"])
        started_ms = time.time_ns() // 1_000_000
        tell(RoomStarted(room=room, streamer="s", at_ms=started_ms, title="first"))
        await_true(lambda: status() == "live", "the room is live")
        file.touch()
        for moment in range(1, 1_000):
            if not file.exists():
                break
            tell(RoomUpdated(room=room, streamer="s", at_ms=started_ms + moment, title=f"title {moment}"))
            time.sleep(0.1)
        assert not file.exists(), "the worker is frozen"
        await_true(lambda: kafka_log.member("room-workers", "2") is None, "its session has ended")
        tell(RoomEnded(room=room, at_ms=started_ms + 1_000))
        if freeze == "before":  # else its open transaction hides what the others write
            await_true(lambda: status() == "ended", "the room has ended")
        zombie.process.send_signal(signal.SIGCONT)
        await_true(lambda: kafka_log.member("room-workers", "2") is not None, "it has joined again")
        await_true(lambda: status() == "ended", "the room has ended")
        time.sleep(3.0)  # whatever it still has to say
        assert status() == "ended"
        for worker in (zombie, *others):
            worker.stop()
        assert status() == "ended"
        assert published_states(kafka_log) == expected_states(kafka_log, fake_vectors, FAKE_VERSION, WindowConfig())
    finally:
        sink.close()
        for worker in (zombie, *others):
            worker.kill()


@pytest.mark.usefixtures("topics")
def test_a_transaction_that_a_killed_worker_left_open_hides_records_no_longer_than_its_limit(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str, tmp_path: Path
) -> None:
    """No process has its name afterwards, as after a downscale: only the limit ends its transaction."""
    servers, file = kafka_config.bootstrap_servers, tmp_path / "freeze"
    options = ("--transaction-timeout-s", "4", "--freeze", "after", "--freeze-file", str(file))
    lost = WorkerProcess("room", servers, topic_prefix, "1", *options)
    other = WorkerProcess("room", servers, topic_prefix, "0")
    sink = kafka_log.sink()
    try:
        await_owners(kafka_log, "room", ["0", "1"])
        file.touch()
        platform = Platform(sink, 20, seed=5)
        platform.play(1.0)
        await_true(lambda: not file.exists(), "the worker is frozen in the middle of a transaction")
        lost.kill()
        platform.play(1.0)
        sink.close()
        expected = partial(expected_states, kafka_log, fake_vectors, FAKE_VERSION, WindowConfig())
        await_equal(lambda: published_states(kafka_log), expected)
        other.stop()
    finally:
        for worker in (lost, other):
            worker.kill()


@pytest.mark.usefixtures("topics")
def test_workers_that_come_go_and_change_their_names_do_everything_once(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str
) -> None:
    """Three, two, three, and a drain: Serve gives the last one the rank of the one that went."""
    servers, sink = kafka_config.bootstrap_servers, kafka_log.sink()
    platform = Platform(sink, 60, seed=23)
    running = [WorkerProcess("room", servers, topic_prefix, str(rank)) for rank in range(3)]
    running.append(WorkerProcess("profile", servers, topic_prefix, "0"))
    rooms, ended = running[:3], []
    try:
        await_owners(kafka_log, "room", ["0", "1", "2"])
        platform.play(2.0)
        ended.append(rooms.pop(0))
        ended[-1].stop()
        rooms[-1].rename("0")  # it was 2
        platform.play(3.0)
        await_owners(kafka_log, "room", ["0", "1"])
        assert kafka_log.member("room-workers", "2") is None
        rooms.append(WorkerProcess("room", servers, topic_prefix, "2"))
        running.append(rooms[-1])
        platform.play(3.0)
        await_owners(kafka_log, "room", ["0", "1", "2"])
        rooms.append(WorkerProcess("room", servers, topic_prefix, "3"))  # a drain begins with the replacement
        running.append(rooms[-1])
        platform.play(2.0)
        ended.append(rooms.pop(0))
        ended[-1].stop()  # it was 1
        rooms[-1].rename("1")
        platform.play(3.0)
        await_owners(kafka_log, "room", ["0", "1", "2"])
        sink.close()
        assert_as_pure_folds(kafka_log)
        assert all(worker.is_alive for worker in running if worker not in ended)
    finally:
        for worker in running:
            worker.kill()
