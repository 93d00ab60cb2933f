"""Readers of a real Kafka and records that it deleted before they were read: said and counted, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from streaming.kafka_config import KafkaConfig
from streaming.log.log import Partition
from streaming.log.topics import CHAT, ROOM_STATES, ROOMS, VIEWER_EVENTS, VIEWER_PROFILES
from streaming.troubles import Skipped
from tests.contract.opened_log import read, settle
from tests.integration.topic_world import TopicWorld, open_transaction, opened, until


@pytest.fixture
def world(kafka_config: KafkaConfig, topic_prefix: str) -> Iterator[TopicWorld]:
    yield from opened(kafka_config, topic_prefix, 1)


def delete_all(world: TopicWorld, *topics: str) -> None:
    """Deletes records at once, as retention does."""
    places = [Partition(topic, 0) for topic in topics]
    admin = KafkaAdminClient(**world.config.client())
    admin.delete_records({TopicPartition(world.prefix + p.topic, 0): end for p, end in world.log.ends(places).items()})
    admin.close()


def test_what_was_deleted_while_workers_were_down_is_said_counted_and_in_a_letter(
    world: TopicWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.start()
    world.started("r0")
    world.said("r0", "read")
    world.entered("u0", "r0")
    until(lambda: world.messages()["r0"] == 1 and world.entries()["r0"] == 1)
    world.stop(workers_only=True)
    for n in range(4):
        world.said("r0", f"unread {n}")
        world.entered("u0", "r0")
    world.ended("r0")
    delete_all(world, CHAT, VIEWER_EVENTS, ROOMS)
    world.said("r0", "after")
    world.entered("u1", "r0")
    world.start(replica=False)
    until(lambda: world.messages()["r0"] == 2 and world.entries()["r0"] == 2, world.states)
    lost = {CHAT: (1, 4), VIEWER_EVENTS: (1, 4), ROOMS: (1, 1)}
    until(lambda: {one.topic: (one.offset, one.last_offset) for one in world.letters()} == lost, world.letters)
    for topic, (first, last) in lost.items():
        assert world.metrics.value("log_offsets_skipped_total", topic=topic, reason="deleted") == last - first + 1
    assert sum("Kafka deleted them" in record.getMessage() for record in caplog.records) == len(lost)
    until(lambda: "chat-0 offsets 1 to 4 (deleted)" in world.rooms[0].status().lost)
    assert "viewer-events-0 offsets 1 to 4 (deleted)" in world.viewers[0].status().lost
    world.stop(workers_only=True)
    world.start(replica=False)
    world.said("r0", "later")
    until(lambda: world.messages()["r0"] == 3)
    assert len(world.letters()) == len(lost)


def test_what_was_read_and_deleted_is_not_lost_though_the_position_lies_before_it(world: TopicWorld) -> None:
    world.start(replica=False)
    world.started("r0")
    for n in range(3):
        world.said("r0", f"read {n}")  # held back as long as it is in the window
    until(lambda: world.messages()["r0"] == 3)
    world.stop()
    delete_all(world, CHAT)
    world.said("r0", "after")
    world.start(replica=False)
    until(lambda: world.messages()["r0"] == 4)
    assert world.metrics.value("log_offsets_skipped_total") == 0
    assert world.letters() == []


def test_a_running_reader_says_exactly_what_was_deleted_before_it_came_there(world: TopicWorld) -> None:
    source = world.log.group([CHAT], "g", "0")
    try:
        world.said("r0", "read")
        read(source, 1)
        for n in range(20):
            world.said("r0", f"unread {n}")
        delete_all(world, CHAT)
        world.said("r0", "after")
        skipped = list[Skipped]()
        offsets = list[int]()

        def there() -> bool:
            batch = source.poll(0.1)
            skipped.extend(batch.skipped)
            offsets.extend(record.offset for records in batch.records.values() for record in records)
            return 21 in offsets

        settle(until=there)
        gone = set(range(1, 21)) - set(offsets)  # some of it may have been fetched before
        assert {n for one in skipped for n in range(one.first, one.last + 1)} == gone
        assert {one.cause for one in skipped} <= {"deleted"}
    finally:
        source.close()


def test_whoever_reads_from_the_beginning_misses_nothing(world: TopicWorld) -> None:
    for n in range(3):
        world.said("r0", f"old {n}")
    delete_all(world, CHAT)
    world.said("r0", "new")
    place = Partition(CHAT, 0)
    for start in ("beginning", {place: 0}):
        source = world.log.reader([place], start)  # type: ignore[arg-type]
        batches = settle(source, until=lambda source=source: source.lag()[place] == 0)  # type: ignore[misc]
        assert not any(batch.skipped for batch in batches)
        source.close()


def test_a_worker_that_restarts_waits_for_what_it_published_behind_anothers_open_transaction(world: TopicWorld) -> None:
    """Else it goes on from older states at newer positions: an end is forgotten, entries count for nothing."""
    world.start()
    for room in ("r0", "r1"):
        world.started(room)
    world.entered("u0", "r0")
    until(lambda: world.entries() == {"r0": 1, "r1": 0})
    with open_transaction(world, ROOM_STATES, VIEWER_PROFILES):
        world.ended("r0")
        for n in range(3):
            world.entered(f"v{n}", "r1")
        worker, viewers = world.rooms[0], world.viewers[0]
        until(lambda: not any((*worker.status().lag.values(), *viewers.status().lag.values())))  # type: ignore[union-attr]
        world.stop(workers_only=True)
        world.start(replica=False)
        held = [(ROOM_STATES, "held"), (VIEWER_PROFILES, "held")]
        statuses = [one.status for one in world.rooms] + [one.status for one in world.viewers]
        until(lambda: [(t.topic, t.kind) for status in statuses for t in status().troubles] == held)
        world.entered("v9", "r1")
    until(lambda: world.entries() == {"r0": 1, "r1": 4}, world.entries)
    assert world.states()["r0"]["status"] == "ended"
    until(lambda: world.shown().keys() == {"r1"}, world.shown)
    assert world.visits() == dict.fromkeys(["u0", "v0", "v1", "v2", "v9"], 1)
    until(lambda: not (*world.rooms[0].status().troubles, *world.viewers[0].status().troubles))
