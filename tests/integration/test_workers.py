"""Tests of what workers do on a real Kafka while their processes are killed: the result is that of pure folds."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from streaming.broker import KafkaAdmin, KafkaLog
from streaming.events import ChatMessage, RoomEnded, RoomStarted, RoomUpdated, Speech, ViewerEvent
from streaming.kafka_config import KafkaConfig
from streaming.log.codec import encode
from streaming.log.log import Sink
from streaming.log.topic_check import check_topics
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS, TopicsConfig
from streaming.patience import Patience
from streaming.room.window_config import WindowConfig
from streaming.viewer.profile_config import ProfileConfig
from tests.documented import blocks
from tests.fake_encoder import FAKE_VERSION, fake_vectors
from tests.reference import (
    expected_activity,
    expected_profiles,
    expected_states,
    published_activity,
    published_profiles,
    published_states,
)

NUM_ROOMS = 12
NUM_VIEWERS = 40
SPEED = 20  # event time against real time, so that segments close while the test runs
ACTIONS = ("enter", "enter", "leave", "watch", "like", "gift", "follow", "chat")
SETTLE_S = 60.0  # on a free machine; some seconds are enough on a fast one


class Platform:
    """Writes rooms, chat and viewer events whose times run SPEED times as fast as the clock, up to now."""

    def __init__(self, sink: Sink, seconds: float, seed: int) -> None:
        self._sink = sink
        self._rng = random.Random(seed)
        self._started_s = time.monotonic()
        self._origin_ms = time.time_ns() // 1_000_000 - int(seconds * SPEED * 1000)
        for room in range(NUM_ROOMS):
            self._room(RoomStarted(room=f"r{room}", streamer=f"s{room}", at_ms=self._at_ms(), title=f"title {room}"))

    def play(self, seconds: float) -> None:
        """A few records every 10 ms for so long."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for _ in range(self._rng.randrange(8)):
                self._chat()
                self._viewer()
            if self._rng.random() < 0.05:
                self._lifecycle()
            self._sink.flush()
            time.sleep(0.01)

    def _at_ms(self) -> int:
        return self._origin_ms + int((time.monotonic() - self._started_s) * 1000 * SPEED)

    def _chat(self) -> None:
        rng, room = self._rng, f"r{self._rng.randrange(NUM_ROOMS + 1)}"
        text = f"word{rng.randrange(50)} and word{rng.randrange(50)}"
        at_ms = self._at_ms() - rng.choice((0, 0, 0, 4_000, 200_000))
        message: ChatMessage | Speech = Speech(room=room, text=text, at_ms=at_ms)
        if rng.random() < 0.8:
            message = ChatMessage(room=room, viewer=f"v{rng.randrange(NUM_VIEWERS)}", text=text, at_ms=at_ms)
        self._sink.send(CHAT, room.encode(), b"rubbish" if rng.random() < 0.01 else encode(message))

    def _viewer(self) -> None:
        rng, room = self._rng, self._rng.randrange(NUM_ROOMS)
        viewer = f"v{rng.randrange(NUM_VIEWERS)}"
        event = ViewerEvent(
            viewer=viewer,
            room=f"r{room}",
            streamer=f"s{room}",
            action=rng.choice(ACTIONS),  # type: ignore[arg-type]
            at_ms=self._at_ms(),
            seconds=rng.random(),
        )
        self._sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))

    def _lifecycle(self) -> None:
        rng, room = self._rng, self._rng.randrange(NUM_ROOMS)
        name, streamer, at_ms = f"r{room}", f"s{room}", self._at_ms()
        kind = rng.randrange(4)
        if kind == 0:
            self._room(RoomEnded(room=name, at_ms=at_ms))
        elif kind == 1:
            self._room(RoomStarted(room=name, streamer=streamer, at_ms=at_ms, title=f"again {rng.randrange(9)}"))
        else:
            self._room(RoomUpdated(room=name, streamer=streamer, at_ms=at_ms, title=f"now {rng.randrange(9)}"))

    def _room(self, event: RoomStarted | RoomUpdated | RoomEnded) -> None:
        self._sink.send(ROOMS, event.room.encode(), encode(event))


@contextmanager
def killed_again_and_again(kind: str, kafka_config: KafkaConfig, prefix: str) -> Iterator[Callable[[], None]]:
    """A worker process; each call kills it and starts another. At the end it is stopped, and must stop well."""

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.worker_process", kind, kafka_config.bootstrap_servers, prefix]
        return subprocess.Popen(command)

    process = start()

    def kill() -> None:
        nonlocal process
        process.kill()
        process.wait()
        process = start()

    try:
        yield kill
        process.terminate()
        assert process.wait(timeout=15) == 0
    finally:
        process.kill()
        process.wait()


def await_equal(found: Callable[[], object], expected: Callable[[], object]) -> None:
    """Waits until both are equal; fails with their difference."""
    patience = Patience(SETTLE_S)
    while found() != expected() and not patience.is_over():
        time.sleep(0.5)
    assert found() == expected()


@pytest.fixture
def topics(kafka_config: KafkaConfig, topic_prefix: str) -> None:
    with KafkaAdmin(kafka_config) as admin:
        check_topics(admin, TopicsConfig(prefix=topic_prefix, room_partitions=2, viewer_partitions=2))


@pytest.mark.usefixtures("topics")
def test_killed_workers_publish_what_pure_folds_give(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str
) -> None:
    rng = random.Random(3)
    sink = kafka_log.sink()
    platform = Platform(sink, 40, seed=11)
    with (
        killed_again_and_again("room", kafka_config, topic_prefix) as kill_rooms,
        killed_again_and_again("profile", kafka_config, topic_prefix) as kill_profiles,
    ):
        for _ in range(5):
            platform.play(1.0 + 2.5 * rng.random())
            kill_rooms()
            platform.play(1.0 * rng.random())
            kill_profiles()
        platform.play(2.0)
        sink.close()
        profile = ProfileConfig()
        await_equal(lambda: published_profiles(kafka_log), lambda: expected_profiles(kafka_log, profile))
        await_equal(lambda: published_activity(kafka_log), lambda: expected_activity(kafka_log, profile))
        window = WindowConfig()
        await_equal(
            lambda: published_states(kafka_log),
            lambda: expected_states(kafka_log, fake_vectors, FAKE_VERSION, window),
        )
        states = published_states(kafka_log)
        assert len(states) == NUM_ROOMS
        assert any(state["mean_vector"] for state in states.values())


@pytest.mark.usefixtures("topics")
def test_a_room_where_only_the_streamer_speaks_has_a_vector_also_after_a_restart(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str
) -> None:
    """The transcripts come from the program of docs/speech.md."""
    (program,) = (block.text for block in blocks() if (block.page, block.language) == ("docs/speech.md", "python"))
    command = [sys.executable, "-c", program.replace('send("chat"', f'send("{topic_prefix}chat"'), "r0"]
    environment = {**os.environ, "KAFKA": kafka_config.bootstrap_servers}

    def speak(*sentences: str) -> None:
        text = "".join(f"{sentence}\n" for sentence in sentences)
        subprocess.run(command, input=text, text=True, env=environment, check=True, timeout=SETTLE_S)

    def expected() -> object:
        return expected_states(kafka_log, fake_vectors, FAKE_VERSION, WindowConfig())

    sink = kafka_log.sink()
    started = RoomStarted(room="r0", streamer="s0", at_ms=time.time_ns() // 1_000_000, title="")
    sink.send(ROOMS, b"r0", encode(started))
    sink.close()
    with killed_again_and_again("room", kafka_config, topic_prefix) as kill:
        speak("we open with the queen's gambit", "", "and now the knight")
        await_equal(lambda: published_states(kafka_log), expected)
        before = published_states(kafka_log)["r0"]
        assert before["chat_vector"]
        assert (before["messages"], before["recent_messages"], before["chat_at_ms"]) == (0, (), 0)
        assert before["speech_at_ms"] > 0
        kill()
        speak("this was a mistake")
        await_equal(lambda: published_states(kafka_log), expected)
        after = published_states(kafka_log)["r0"]
        assert after["chat_vector"] not in (b"", before["chat_vector"])


@pytest.mark.usefixtures("topics")
def test_viewers_who_fell_silent_leave_once_however_often_the_worker_is_killed(
    kafka_config: KafkaConfig, kafka_log: KafkaLog, topic_prefix: str
) -> None:
    rng, sink = random.Random(7), kafka_log.sink()
    now_ms = time.time_ns() // 1_000_000

    def enter(viewer: str, room: str, at_ms: int) -> None:
        event = ViewerEvent(viewer=viewer, room=room, streamer=f"s-{room}", action="enter", at_ms=at_ms)
        sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))

    for number in range(20):
        enter(f"here {number}", "r0", now_ms)
    sink.flush()
    with killed_again_and_again("profile", kafka_config, topic_prefix) as kill:
        for wave in range(8):
            for number in range(200):
                enter(f"silent {wave} {number}", f"r{rng.randrange(NUM_ROOMS)}", now_ms - 7_200_000 - wave)
            sink.flush()
            time.sleep(2.5 * rng.random())  # anywhere between reading them and having had them leave
            kill()
        sink.close()
        profile = ProfileConfig()
        await_equal(
            lambda: published_profiles(kafka_log), lambda: expected_profiles(kafka_log, profile, now_ms + 60_000)
        )
        await_equal(
            lambda: published_activity(kafka_log), lambda: expected_activity(kafka_log, profile, now_ms + 60_000)
        )
    sums = published_activity(kafka_log).values()
    assert sum(one["entered"] - one["left"] for one in sums) == 20
    assert sum(one["lapsed"] for one in sums) == 1_600
