"""Tests of topics that are deleted and made anew, while everything runs and while it does not. Real Kafka."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka
from streaming.log.topics import (
    CHAT,
    DEAD_LETTER,
    MODELS,
    ROOM_ACTIVITY,
    ROOM_STATES,
    ROOMS,
    TOPICS,
    VIEWER_EVENTS,
    VIEWER_PROFILES,
)
from tests.integration.topic_world import TopicWorld, opened, until
from tests.stored_log import StoredPartition

FIRST = 8  # messages of the first life; of the second there are fewer, then more


@pytest.fixture
def world(kafka_config: KafkaConfig, topic_prefix: str) -> Iterator[TopicWorld]:
    yield from opened(kafka_config, topic_prefix, 1)


@pytest.fixture
def four(kafka_config: KafkaConfig, topic_prefix: str) -> Iterator[TopicWorld]:
    yield from opened(kafka_config, topic_prefix, 4)


def first_life(world: TopicWorld) -> None:
    world.started("r0", "before")
    world.started("r1")
    for n in range(FIRST):
        world.said("r0", f"first life {n}")
    world.entered("u0", "r0")
    until(lambda: world.messages()["r0"] == FIRST and world.entries()["r0"] == 1, world.states)
    until(lambda: world.shown().keys() == {"r0", "r1"})


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
@pytest.mark.parametrize("later", [FIRST - 3, FIRST + 3], ids=["fewer", "more"])
def test_chat_of_a_topic_made_anew_counts_from_its_first_message(
    world: TopicWorld, later: int, running: bool, caplog: pytest.LogCaptureFixture
) -> None:
    world.start()
    first_life(world)
    if not running:
        world.stop()
    world.remake(CHAT)
    world.reopen()
    for n in range(later):
        world.said("r0", f"second life {n}")
    if not running:
        world.start(replica=False)
    until(lambda: world.messages()["r0"] == FIRST + later, world.messages)
    said = [
        r.getMessage()
        for r in caplog.records
        if r.levelno == logging.WARNING and "chat was made anew" in r.msg % r.args
    ]
    assert len(said) == 1
    assert world.metrics.value("topics_anew_total", reader="room-workers", topic=CHAT) == 1
    until(lambda: "chat since" in world.rooms[0].status().anew)
    world.stop()
    world.start(replica=False)  # what counts once counts once
    world.said("r0", "the last")
    until(lambda: world.messages()["r0"] == FIRST + later + 1, world.messages)


def test_an_end_on_rooms_made_anew_is_believed(world: TopicWorld) -> None:
    world.start()
    for n in range(5):
        world.started("r0", f"title {n}")
    first_life(world)
    world.remake(ROOMS)
    world.reopen()
    world.ended("r0")
    until(lambda: world.states()["r0"]["status"] == "ended", world.states)
    until(lambda: world.shown().keys() == {"r1"}, world.shown)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_no_dead_room_is_shown_after_everything_is_gone(world: TopicWorld, running: bool) -> None:
    """The state after a broker has lost its disk."""
    world.start()
    first_life(world)
    if not running:
        world.stop(workers_only=True)
    world.remake(*TOPICS)
    world.reopen()
    if not running:
        world.start(replica=False)
    world.started("r0", "after")
    world.started("new")
    world.said("new", "hello")
    until(lambda: world.shown() == {"r0": "after", "new": "a title"}, world.shown)
    until(lambda: world.messages() == {"r0": 0, "new": 1}, world.messages)
    world.entered("u0", "r0")
    until(lambda: world.visits() == {"u0": 1} and world.entries()["r0"] == 1, world.visits)


def test_states_made_anew_are_published_again_from_what_the_inputs_hold(world: TopicWorld) -> None:
    world.start()
    first_life(world)
    world.ended("r1")
    until(lambda: world.shown().keys() == {"r0"})
    world.remake(ROOM_STATES)
    until(lambda: world.messages().get("r0") == FIRST, world.states)
    until(lambda: world.shown() == {"r0": "before"}, world.shown)
    assert world.entries()["r0"] == 1
    assert not world.letters()


def test_profiles_made_anew_are_published_again_and_rooms_are_told_once(world: TopicWorld) -> None:
    world.start()
    first_life(world)
    world.remake(VIEWER_PROFILES)
    until(lambda: world.visits() == {"u0": 1}, world.visits)
    world.entered("u1", "r0")
    until(lambda: world.entries()["r0"] == 2, world.entries)
    assert world.visits() == {"u0": 1, "u1": 1}


@pytest.mark.parametrize("topic", [VIEWER_EVENTS, ROOM_ACTIVITY])
def test_entries_count_after_their_topic_was_made_anew(world: TopicWorld, topic: str) -> None:
    world.start()
    first_life(world)
    world.remake(topic)
    world.reopen()
    for n in range(1, 4):
        world.entered(f"u{n}", "r0")
    until(lambda: world.entries()["r0"] == 4, world.entries)
    assert world.visits() == {f"u{n}": 1 for n in range(4)}


@pytest.mark.parametrize("topic", [DEAD_LETTER, MODELS])
def test_work_goes_on_after_a_topic_beside_it_was_made_anew(world: TopicWorld, topic: str) -> None:
    world.start()
    first_life(world)
    world.write(CHAT, "r0", b"no record")
    until(lambda: len(world.letters()) == 1)
    world.remake(topic)
    world.reopen()
    world.write(CHAT, "r0", b"no record either")
    world.said("r0", "goes on")
    until(lambda: world.messages()["r0"] == FIRST + 1, world.messages)
    until(lambda: any(letter.value == b"no record either" for letter in world.letters()), world.letters)
    assert world.shown().keys() == {"r0", "r1"}


@pytest.mark.parametrize(
    "topics",
    [(ROOMS, CHAT, ROOM_ACTIVITY), (VIEWER_EVENTS, VIEWER_PROFILES)],
    ids=" ".join,
)
def test_work_goes_on_after_topics_were_made_anew_with_fewer_partitions(
    four: TopicWorld, topics: tuple[str, ...]
) -> None:
    rooms = [f"r{n}" for n in range(9)]
    four.start()
    for room in rooms:
        four.started(room)
        four.said(room, "before")
        four.entered(f"u-{room}", room)
    until(
        lambda: four.messages() == four.entries() == dict.fromkeys(rooms, 1), lambda: (four.messages(), four.entries())
    )
    four.partitions = 2
    four.remake(*topics)
    four.reopen()
    for room in rooms:
        four.said(room, "after")
        four.entered(f"v-{room}", room)
    until(
        lambda: four.messages() == four.entries() == dict.fromkeys(rooms, 2), lambda: (four.messages(), four.entries())
    )
    assert four.shown().keys() == set(rooms)
    assert four.all_run()


def test_what_could_not_be_read_of_a_topic_is_no_trouble_of_the_topic_made_anew(
    world: TopicWorld, local_kafka: LocalKafka
) -> None:
    world.start()
    first_life(world)
    world.stop(workers_only=True)
    world.said("r0", "lost")
    stored = StoredPartition(Path(local_kafka.status().folder), world.prefix + CHAT, 0)
    stored.flip(stored.batches()[-1], 66)
    world.start(replica=False)
    worker = world.rooms[0]
    until(lambda: [(one.topic, one.kind) for one in worker.status().troubles] == [(CHAT, "damaged")])
    world.remake(CHAT)
    world.reopen()
    for n in range(3):
        world.said("r0", f"second life {n}")
    until(lambda: world.messages()["r0"] == FIRST + 3, world.messages)
    until(lambda: worker.status().troubles == (), lambda: worker.status().troubles)
