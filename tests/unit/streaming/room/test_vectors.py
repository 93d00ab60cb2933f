"""Tests of what becomes of vectors that are not of numbers: no fold takes one, and no mean is ever poisoned."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from streaming.events import OtherContent, RoomId
from streaming.room.room import RoomAggregate
from streaming.room.vectors import are_numbers, from_bytes, to_bytes, with_numbers_only
from streaming.room.window_config import WindowConfig
from tests.unit.streaming.room.scripted_room import Room, vector

BAD = [to_bytes(np.array([1, bad, 0], np.float32)) for bad in (math.nan, math.inf, -math.inf)] + [b"\x00\x3c\x00"]


@pytest.mark.parametrize("bad", BAD)
def test_only_whole_finite_halves_are_numbers(bad: bytes) -> None:
    assert not are_numbers(bad)
    assert are_numbers(vector(1, 0))
    assert are_numbers(to_bytes(np.array([65_504, -65_504, 6e-8], np.float32)))
    assert are_numbers(b"")


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(4))
def test_one_bad_vector_is_left_out_of_the_mean_wherever_it_comes(bad: bytes, place: int) -> None:
    def mean_of(skipped: int | None) -> bytes:
        room = Room(WindowConfig(mean_every=1))
        room.start()
        for second in range(0, 180, 30):
            room.say(f"line {second}", second)
        for number, segment in enumerate(room.aggregate.closed_segments()):
            if number == skipped:
                assert room.aggregate.skip_segment(segment.index)
            elif number == place and skipped is None:
                assert room.aggregate.add_segment(segment.index, bad, "e")
            else:
                room.aggregate.add_segment(segment.index, vector(number + 1, 1), "e")
        return room.state.mean_vector

    assert mean_of(None) == mean_of(place) != b""


@pytest.mark.parametrize("bad", BAD)
def test_a_title_or_a_text_with_a_bad_vector_has_none_and_is_not_asked_for_again(bad: bytes) -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    title, text = room.aggregate.title_text(), room.aggregate.chat_text()
    assert title is not None
    assert text is not None
    assert room.aggregate.set_title_vector(title, bad, "e")
    assert room.aggregate.set_chat_vector(text, bad, "e")
    assert (room.state.title_vector, room.state.chat_vector) == (b"", b"")
    assert room.aggregate.title_text() is None
    assert room.aggregate.chat_text() is None


@pytest.mark.parametrize("bad", BAD)
def test_a_state_that_was_poisoned_before_is_healed_when_it_is_read_back(bad: bytes) -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    title = room.aggregate.title_text()
    assert title is not None
    room.aggregate.set_title_vector(title, vector(1, 0), "e")
    poisoned = msgspec.structs.replace(room.state, chat_vector=bad, chat_hash=7, vector_offset=1, mean_vector=bad)
    aggregate = RoomAggregate(RoomId("r"), WindowConfig())
    aggregate.restore(poisoned)
    state = aggregate.state(0)
    assert state is not None
    assert (state.chat_vector, state.mean_vector, state.vector_offset) == (b"", b"", -1)
    assert from_bytes(state.title_vector).tolist() == [1, 0]
    assert with_numbers_only(state) is state
    titleless = RoomAggregate(RoomId("r"), WindowConfig())
    titleless.restore(msgspec.structs.replace(state, title_vector=bad))
    assert titleless.title_text() == title, "it is encoded again"


def test_of_all_halves_the_finite_ones_are_numbers() -> None:
    halves_N = np.arange(65_536, dtype="<u2")
    finite_N = np.isfinite(halves_N.view("<f2"))
    assert [are_numbers(half.tobytes()) for half in halves_N] == finite_N.tolist()


@pytest.mark.parametrize("field", ["title_vector", "chat_vector", "mean_vector"])
@pytest.mark.parametrize("bad", BAD)
def test_a_poisoned_vector_of_the_second_encoder_is_refused_too(bad: bytes, field: str) -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    other = OtherContent("new", chat_vector=to_bytes(np.ones(2)))
    sound = msgspec.structs.replace(room.state, other=other)
    assert with_numbers_only(sound) is sound
    other = msgspec.structs.replace(other, **{field: bad})
    assert with_numbers_only(msgspec.structs.replace(sound, other=other)).other is None
