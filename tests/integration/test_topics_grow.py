"""Tests of topics that get more partitions while everything runs. Real Kafka, workers in threads."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from streaming.kafka_config import KafkaConfig
from streaming.log.topics import CHAT, ROOM_ACTIVITY, ROOM_STATES, ROOMS, VIEWER_EVENTS, VIEWER_PROFILES
from tests.integration.topic_world import TopicWorld, opened, until

LIVE = [f"r{n}" for n in range(9)]
VIEWERS = [f"u{n}" for n in range(9)]


@pytest.fixture
def world(kafka_config: KafkaConfig, topic_prefix: str) -> Iterator[TopicWorld]:
    yield from opened(kafka_config, topic_prefix, 1)


def fill(world: TopicWorld) -> None:
    for room, viewer in zip(LIVE, VIEWERS, strict=True):
        world.started(room)
        world.entered(viewer, room)
        world.said(room, "the first thing said")
    until(
        lambda: world.messages() == dict.fromkeys(LIVE, 1) and world.entries() == dict.fromkeys(LIVE, 1),
        lambda: (world.messages(), world.entries()),
    )


def test_rooms_and_viewers_keep_their_state_when_all_topics_grow(world: TopicWorld) -> None:
    world.start(rooms=2, viewers=2)
    fill(world)
    until(lambda: len(world.shown()) == len(LIVE))
    world.grow(4)
    for room, viewer in zip(LIVE, VIEWERS, strict=True):  # by a producer that still sees one partition
        world.write(CHAT, room, world.message(room, "the second thing said"), 0)
        world.write(VIEWER_EVENTS, viewer, world.entry(viewer, LIVE[0]), 0)
    world.reopen()
    for room in LIVE:
        world.said(room, "the third thing said")
    world.started("new")
    world.ended("r1")
    until(lambda: world.messages() == {**dict.fromkeys(LIVE, 3), "new": 0}, world.messages)
    until(lambda: world.visits() == dict.fromkeys(VIEWERS, 2) | {"u0": world.visits()["u0"]}, world.visits)
    until(lambda: set(world.times_published(ROOM_STATES).values()) == {1}, lambda: world.times_published(ROOM_STATES))
    until(lambda: set(world.times_published(VIEWER_PROFILES).values()) == {1})
    until(lambda: world.shown().keys() == {*LIVE, "new"} - {"r1"}, world.shown)
    assert {p for worker in world.rooms for p in worker.status().partitions} == {0, 1, 2, 3}
    assert world.all_run()
    assert not world.letters()


@pytest.mark.parametrize("topic", [CHAT, ROOMS, ROOM_ACTIVITY, ROOM_STATES])
def test_rooms_go_on_when_one_of_their_topics_grows_alone_and_it_is_said(
    world: TopicWorld, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.start()
    fill(world)
    with caplog.at_level(logging.ERROR):
        world.alter(topic, 3)
        until(lambda: any(t.kind == "grown" for t in world.rooms[0].status().troubles))
    (line,) = [one.getMessage() for one in caplog.records if "tidecast topics" in one.getMessage()]
    assert f"{topic} 3" in line
    assert "--room-partitions 3" in line
    world.reopen()
    world.started("new")
    for room in LIVE:
        world.said(room, "the second thing said")
    until(lambda: world.messages() == {**dict.fromkeys(LIVE, 2), "new": 0}, world.messages)
    world.grow(3)
    until(lambda: not world.rooms[0].status().troubles)
    world.reopen()
    for room in LIVE:
        world.said(room, "the third thing said")
    until(lambda: world.messages() == {**dict.fromkeys(LIVE, 3), "new": 0}, world.messages)
    until(lambda: set(world.times_published(ROOM_STATES).values()) == {1}, lambda: world.times_published(ROOM_STATES))
    until(lambda: world.shown().keys() == {*LIVE, "new"}, world.shown)
    assert world.rooms[0].status().restarts == 0


@pytest.mark.parametrize("topic", [VIEWER_EVENTS, VIEWER_PROFILES])
def test_viewers_go_on_when_one_of_their_topics_grows_alone_and_it_is_said(world: TopicWorld, topic: str) -> None:
    world.start()
    fill(world)
    world.alter(topic, 3)
    until(lambda: any(t.kind == "grown" for t in world.viewers[0].status().troubles))
    world.reopen()
    for viewer in VIEWERS[1:]:
        world.entered(viewer, LIVE[0])
    until(lambda: world.visits() == {**dict.fromkeys(VIEWERS, 2), "u0": 1}, world.visits)
    world.grow(3)
    until(lambda: not world.viewers[0].status().troubles)
    world.reopen()
    for viewer in VIEWERS[1:]:
        world.entered(viewer, LIVE[-1] if viewer != VIEWERS[-1] else LIVE[1])
    until(lambda: world.visits() == {**dict.fromkeys(VIEWERS, 3), "u0": 1}, world.visits)
    until(lambda: set(world.times_published(VIEWER_PROFILES).values()) == {1})
    assert world.viewers[0].status().restarts == 0
