"""Tests of how rooms end, come back, outlive a restart, and what a RoomWorker refuses."""

from __future__ import annotations

import numpy as np
import pytest

from actors.settings import RoomWorkerConfig
from streaming.events import (
    ChatMessage,
    RoomActivity,
    RoomEnded,
    RoomEvent,
    RoomId,
    RoomStarted,
    RoomState,
    RoomUpdated,
)
from streaming.log.codec import encode
from streaming.log.topics import CHAT, ROOM_ACTIVITY
from tests.fake_encoder import InstantEncoder, ManualEncoder, fake_vectors
from tests.unit.actors.room_stage import START_MS, Stage


def test_ended_room_is_published_at_once_and_buried_after_an_hour() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(3)
    stage.send(RoomEnded(room="r", at_ms=stage.clock.now_ms()))
    stage.turn()
    assert stage.state("r").status == "ended"
    stage.turns(4, 3_600_000)
    assert stage.states()["r"] is None


def test_silent_room_is_presumed_ended_and_revived_by_chat() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(20, 60_000)
    assert stage.state("r").status == "presumed_ended"
    stage.send(stage.said("r", "we are back again"))
    stage.turns(5, 500)
    assert stage.state("r").status == "live"


QUIET_MS = 10 * 60_000  # less than the time-out
SIGNS = {
    "what is known, said again": RoomUpdated(room="r", streamer="s-r", at_ms=START_MS),
    "an older update": RoomUpdated(room="r", streamer="s-r", at_ms=START_MS - 900_000, title="old"),
    "a start said again": RoomStarted(room="r", streamer="s-r", at_ms=START_MS, title="a title"),
    "chat": ChatMessage(room="r", viewer="v", text="", at_ms=START_MS),
    "somebody enters": RoomActivity(room=RoomId("r"), bucket_ms=START_MS, entered=1),
    "somebody leaves": RoomActivity(room=RoomId("r"), bucket_ms=START_MS, left=1),
    "somebody watches": RoomActivity(room=RoomId("r"), bucket_ms=START_MS, watch_ms=30_000),
    "somebody likes, others fell silent": RoomActivity(room=RoomId("r"), bucket_ms=START_MS, likes=1, left=4, lapsed=4),
    "somebody does what adds nothing up": RoomActivity(room=RoomId("r"), bucket_ms=START_MS),
}


def told(stage: Stage, sign: RoomEvent | ChatMessage | RoomActivity) -> None:
    stage.send(sign, topic=ROOM_ACTIVITY if isinstance(sign, RoomActivity) else None)


@pytest.mark.parametrize("sign", SIGNS.values(), ids=list(SIGNS))
def test_a_quiet_room_lives_on_whatever_the_sign_of_life(sign: RoomEvent | ChatMessage | RoomActivity) -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(3)
    for _ in range(5):
        told(stage, sign)
        stage.turns(10, QUIET_MS // 10)
    assert stage.state("r").status == "live"
    stage.turns(10, QUIET_MS // 10)
    assert stage.state("r").status == "presumed_ended"
    stage.turns(10, 3_600_000)
    told(stage, sign)
    stage.turns(3, 1_000)
    assert stage.state("r").status == "live", "hours later it comes back as well"
    assert stage.state("r").title == stage.started("r").title


def test_that_viewers_fell_silent_keeps_no_room_alive_and_revives_none() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(3)
    for _ in range(3):
        told(stage, RoomActivity(room=RoomId("r"), bucket_ms=START_MS, left=2, lapsed=2, watch_ms=60_000))
        stage.turns(10, QUIET_MS // 10)
    assert stage.state("r").status == "presumed_ended"
    told(stage, RoomActivity(room=RoomId("r"), bucket_ms=START_MS, left=1, lapsed=1))
    stage.turns(5, 1_000)
    assert (stage.state("r").status, stage.state("r").left) == ("presumed_ended", 7)


def test_where_the_platform_says_every_end_silence_ends_nothing() -> None:
    stage = Stage(config=RoomWorkerConfig(room_timeout_s=0))
    stage.send(stage.started("r"))
    stage.turns(20, 3_600_000)
    assert stage.state("r").status == "live"
    stage.send(RoomEnded(room="r", at_ms=stage.clock.now_ms()))
    stage.turn()
    assert stage.state("r").status == "ended"


def test_a_presumed_end_is_buried_once_it_is_long_ago() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(12, 3_600_000)
    assert stage.state("r").status == "presumed_ended"
    stage.turns(3, 3_600_000)
    assert stage.states()["r"] is None


def test_room_is_not_presumed_ended_while_no_broker_answers() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.turns(4)
    stage.log.pause()
    for _ in range(20):
        stage.clock.advance(60_000)
        stage.worker.apply(stage.source.poll(0))
    stage.log.resume()
    stage.turns(3)
    assert stage.state("r").status == "live"


@pytest.mark.parametrize("value", [b"not json", b"{}", b'{"type":"chat","v":9}', b"\xff\xfe", b"[1]", None])
def test_undecodable_record_is_a_dead_letter_and_delays_nothing(value: bytes | None) -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.producer.send(CHAT, b"r", value)
    stage.send(stage.said("r", "goes on as usual"))
    stage.turns(5, 400)
    (letter,) = stage.letters()
    assert (letter.topic, letter.offset, letter.value) == (CHAT, 0, value)
    assert stage.state("r").messages == 1


def test_record_of_the_far_future_or_with_another_key_is_refused() -> None:
    stage = Stage()
    stage.send(stage.started("r"))
    stage.send(ChatMessage(room="r", viewer="v", text="x", at_ms=START_MS + 3_600_000))
    stage.producer.send(CHAT, b"other", encode(stage.said("r", "x")))
    stage.turns(5, 400)
    assert len(stage.letters()) == 2
    assert stage.state("r").messages == 0


def test_chat_before_the_start_counts_once_the_room_starts() -> None:
    stage = Stage()
    stage.send(stage.said("r", "first of all"))
    stage.turns(3)
    assert "r" not in stage.states()
    stage.send(stage.started("r"))
    stage.turns(5, 400)
    assert stage.state("r").messages == 1
    assert stage.metrics.value("chat_orphaned_total") == 1


def test_orphans_are_forgotten() -> None:
    stage = Stage()
    stage.send(stage.said("r", "nobody starts this room"))
    stage.turns(3)
    stage.turns(3, 601_000)
    assert not any(owned.rooms for owned in stage.worker._owned.values())


def test_restart_at_any_turn_gives_the_states_of_a_run_without() -> None:
    def play(restart_every: int) -> dict[str, RoomState | None]:
        stage = Stage()
        rng = np.random.default_rng(7)
        for step in range(400):
            if step % 40 == 0:
                stage.send(stage.started(f"r{step // 40 % 4}", f"title {step}"))
            for _ in range(int(rng.integers(0, 4))):
                stage.send(
                    stage.said(f"r{rng.integers(4)}", f"word{rng.integers(30)} says {rng.integers(9)}", f"v{step}")
                )
            stage.turn(500)
            if restart_every and step % restart_every == restart_every - 1:
                stage.start()
        stage.turns(40, 400)
        return stage.states()

    def facts(states: dict[str, RoomState | None]) -> dict[str, object]:
        return {
            room: state and {name: getattr(state, name) for name in state.__struct_fields__ if name != "published_ms"}
            for room, state in states.items()
        }

    undisturbed = facts(play(0))
    assert any(state and state["mean_segment"] > 0 for state in undisturbed.values())  # type: ignore[index,operator]
    for every in (3, 17, 90):
        assert facts(play(every)) == undisturbed


def test_what_waited_for_the_encoder_is_encoded_after_a_restart_without_a_new_record() -> None:
    stage = Stage(ManualEncoder())  # which never answers
    stage.send(stage.started("quiet"), stage.started("loud"))
    stage.turns(3)
    stage.send(stage.said("loud", "words of the first segment"))
    stage.turns(50, advance_ms=1_000)
    stage.send(stage.said("loud", "words of a later one"))
    stage.turns(70, advance_ms=1_000)
    assert {state and state.title_vector + state.chat_vector for state in stage.states().values()} == {b""}

    stage.encoder = InstantEncoder()
    stage.start()
    stage.turns(10)
    assert stage.state("quiet").title_vector and stage.state("loud").title_vector
    loud = stage.state("loud")
    assert loud.chat_vector == fake_vectors(["words of a later one"])[0].tobytes()
    assert loud.vector_offset == loud.chat_offset
    assert loud.mean_segment == START_MS // 30_000  # the later one is open until the partition has newer chat
