"""Tests of what a RoomWorker publishes and asks of the encoder, turn by turn on an in-memory log."""

from __future__ import annotations

from itertools import permutations

from actors.settings import RoomWorkerConfig
from streaming.events import (
    RoomActivity,
    RoomId,
    RoomUpdated,
)
from streaming.log.topics import CHAT, ROOM_ACTIVITY, ROOMS
from tests.fake_encoder import FAKE_VERSION, ManualEncoder, fake_vectors
from tests.unit.actors.room_stage import START_MS, Stage


def test_started_room_is_published_with_its_title_vector() -> None:
    stage = Stage()
    stage.send(stage.started("r", "cooking pasta"))
    stage.turns(4)
    state = stage.state("r")
    assert state.title == "cooking pasta"
    assert state.title_vector == fake_vectors(["cooking pasta"])[0].tobytes()
    assert state.encoder_version == FAKE_VERSION


def test_chat_changes_the_vector_within_a_few_turns() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(4)
    stage.send(stage.said("r", "what a lovely sauce"))
    stage.turns(4)
    assert stage.state("r").chat_vector == fake_vectors(["what a lovely sauce"])[0].tobytes()


def test_chat_that_waited_long_for_the_encoder_is_encoded_short_first_and_then_whole() -> None:
    stage = Stage(config=RoomWorkerConfig(short_after_s=10))
    stage.send(stage.started("r"))
    stage.turns(4)
    lines = [f"this is long message number {number} of the chat" for number in range(4)]
    stage.send(*(stage.said("r", line) for line in lines))
    stage.turns(2, advance_ms=11_000)
    assert stage.metrics.value("texts_encoded_total", purpose="short") == 1
    assert stage.metrics.value("texts_encoded_total", purpose="now") == 0
    stage.turns(600)
    assert stage.metrics.value("texts_encoded_total", purpose="now") == 1
    whole = stage.state("r").chat_vector
    assert whole in {fake_vectors(["\n".join(order)])[0].tobytes() for order in permutations(lines)}
    assert stage.state("r").vector_offset == stage.state("r").chat_offset


def test_vector_of_chat_that_went_on_meanwhile_is_followed_by_a_newer_one() -> None:
    encoder = ManualEncoder()
    stage = Stage(encoder)
    stage.send(stage.started("r"), stage.said("r", "first words here"))
    stage.turns(2)
    stage.send(stage.said("r", "second words here"))
    stage.turns(2)
    encoder.finish()
    stage.turns(12)
    encoder.finish()
    stage.turns(3)
    state = stage.state("r")
    assert state.chat_vector == fake_vectors(["second words here\nfirst words here"])[0].tobytes()
    assert state.vector_offset == state.chat_offset


def test_encoder_that_fails_is_asked_again() -> None:
    encoder = ManualEncoder()
    stage = Stage(encoder)
    stage.send(stage.started("r", "cooking"))
    stage.turns(2)
    encoder.fail()
    stage.turns(10, 100)
    assert stage.metrics.value("encoder_failures_total") == 1
    encoder.finish()
    stage.turns(2)
    assert stage.state("r").title_vector == fake_vectors(["cooking"])[0].tobytes()


def test_silent_encoder_is_asked_again() -> None:
    encoder = ManualEncoder()
    stage = Stage(encoder)
    stage.send(stage.started("r", "cooking"))
    stage.turns(2)
    encoder.waiting.clear()
    stage.turns(30, 1_000)
    encoder.finish()
    stage.turn()
    assert stage.state("r").title_vector


def test_counts_alone_are_published_about_once_a_second() -> None:
    stage = Stage(ManualEncoder())
    stage.send(stage.started("r"))
    stage.turns(3)
    before = stage.metrics.value("states_published_total", cause="counts")
    for _ in range(100):
        stage.send(stage.said("r", "hello hello there"))
        stage.turn(30)
    published = stage.metrics.value("states_published_total", cause="counts") - before
    assert 1 <= published <= 4


def test_activity_is_published() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.send(RoomActivity(room=RoomId("r"), bucket_ms=START_MS, entered=3, left=1), topic=ROOM_ACTIVITY)
    stage.turns(5, 600)
    assert (stage.state("r").entered, stage.state("r").left) == (3, 1)


def test_title_change_is_encoded_again() -> None:
    stage = Stage()
    stage.send(stage.started("r", "cooking"))
    stage.turns(3)
    stage.send(RoomUpdated(room="r", streamer="s", at_ms=stage.clock.now_ms(), title="chess"))
    stage.turns(3)
    assert stage.state("r").title_vector == fake_vectors(["chess"])[0].tobytes()


def test_that_a_segment_has_closed_which_the_mean_does_not_want_is_published() -> None:
    stage = Stage()
    stage.send(stage.started("quiet"), stage.started("loud"))
    for number in range(4):
        stage.send(stage.said("quiet", f"words of segment {number}"))
        stage.turns(30, advance_ms=1_000)
    last = stage.clock.now_ms() // 30_000 - 1
    for _ in range(40):
        stage.send(stage.said("loud", "a word"), stage.said("noisy", "another partition's"))
        stage.turns(3, advance_ms=1_000)
    assert stage.state("quiet").mean_segment == last


def test_status_tells_partitions_rooms_and_lag() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(5, 400)
    status = stage.worker.status()
    assert (status.partitions, status.rooms_live, status.encoder_backlog) == ((0, 1), 1, 0)
    assert status.lag == {ROOMS: 0, CHAT: 0, ROOM_ACTIVITY: 0}
