"""Tests of which texts of a room are to be encoded, and what becomes of their vectors."""

from __future__ import annotations

import msgspec

from streaming.events import (
    RoomId,
)
from streaming.room.room import RoomAggregate
from streaming.room.vectors import from_bytes
from streaming.room.window_config import WindowConfig
from tests.unit.streaming.room.scripted_room import SEGMENT, START_MS, Room, vector


def test_a_title_is_to_be_encoded_when_it_changes_and_only_then() -> None:
    room = Room()
    room.start(0, "first")
    text = room.aggregate.title_text()
    assert text is not None
    assert text.text == "first. x"
    assert room.aggregate.set_title_vector(text, vector(1, 0), "e")
    room.start(1, "first")
    assert room.aggregate.title_text() is None
    room.update(2, "second")
    assert not room.aggregate.set_title_vector(text, vector(1, 0), "e"), "the vector of a title no longer in force"
    assert room.aggregate.title_text() is not None


def test_chat_is_to_be_encoded_until_the_vector_saw_it_and_the_same_text_never_twice() -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    text = room.aggregate.chat_text()
    assert text is not None
    room.say("what a play", 2, viewer="w")
    assert room.aggregate.set_chat_vector(text, vector(1, 0), "e")
    assert room.aggregate.has_unread_chat()
    assert room.aggregate.chat_text() is None, "a copy changes no text"
    assert not room.aggregate.has_unread_chat()
    assert (room.state.vector_offset, room.state.segment_end_ms) == (room.state.chat_offset, START_MS + 2_000)
    room.say("something else", 3)
    newer = room.aggregate.chat_text()
    assert newer is not None
    room.aggregate.set_chat_vector(newer, vector(0, 1), "e")
    assert not room.aggregate.set_chat_vector(text, vector(1, 0), "e"), "older than what the vector saw"


def test_the_vector_of_a_room_where_nothing_is_said_any_more_is_none() -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    text = room.aggregate.chat_text()
    assert text is not None
    room.aggregate.set_chat_vector(text, vector(1, 0), "e")
    room.say("", 60)
    assert room.aggregate.chat_text() is None
    assert (room.state.chat_vector, room.state.chat_hash) == (b"", 0)


def test_segments_enter_the_mean_in_order_whatever_order_their_vectors_come_in() -> None:
    room = Room(WindowConfig(mean_every=1, mean_alpha=0.5))
    room.start()
    for at_s in (0, 30, 60, 95):
        room.say(f"segment at {at_s}", at_s)
    first, second = room.aggregate.closed_segments()[:2]
    room.aggregate.add_segment(second.index, vector(0, 1), "e")
    assert (room.state.mean_vector, room.state.mean_segment) == (b"", -1)
    room.aggregate.add_segment(first.index, vector(1, 0), "e")
    assert from_bytes(room.state.mean_vector).tolist() == [0.5, 0.5]
    assert room.state.mean_segment == SEGMENT + 1
    (third,) = room.aggregate.closed_segments()
    room.aggregate.skip_segment(third.index)
    assert from_bytes(room.state.mean_vector).tolist() == [0.5, 0.5]
    assert room.state.mean_segment == SEGMENT + 2


def test_a_short_text_stands_in_until_the_whole_one_is_encoded() -> None:
    room = Room(WindowConfig(short_chars=25))
    room.start()
    for at_s in range(3):
        room.say(f"this is message {at_s}", at_s)
    short = room.aggregate.chat_text(short=True)
    assert short is not None
    assert short.text == "this is message 2"
    room.aggregate.mark_published()
    room.aggregate.set_chat_vector(short, vector(0, 1), "e")
    assert (room.aggregate.dirty, room.state.chat_vector) == (True, vector(0, 1))
    assert room.state.segment_end_ms == START_MS + 2_000
    again = RoomAggregate(RoomId("r"), WindowConfig())
    again.restore(room.state)
    assert (room.aggregate.has_unread_chat(), again.has_unread_chat()) == (True, True)
    whole = room.aggregate.chat_text()
    assert whole is not None
    assert len(whole.text.splitlines()) == 3
    assert room.aggregate.set_chat_vector(whole, vector(1, 0), "e")
    assert not room.aggregate.set_chat_vector(short, vector(0, 1), "e"), "it comes late"
    assert (room.aggregate.has_unread_chat(), room.state.chat_vector) == (False, vector(1, 0))


def test_a_text_that_is_short_anyway_is_whole() -> None:
    room = Room()
    room.start()
    room.say("hello there", 1)
    assert room.aggregate.chat_text(short=True) == room.aggregate.chat_text()


def test_the_first_segment_and_then_one_in_so_many_enters_the_mean_whenever_vectors_come() -> None:
    def asked(*, at_once: bool) -> list[int]:
        room, found = Room(WindowConfig(mean_every=3)), []
        room.start()
        for i in range(13):
            room.say(f"segment number {i}", 30 * i + 6)
            for segment in room.aggregate.closed_segments() if at_once or i == 12 else ():
                found.append(segment.index - SEGMENT)
                room.aggregate.add_segment(segment.index, vector(1, 0), "e")
        assert room.state.mean_segment == SEGMENT + 11
        return found

    indexes = asked(at_once=True)
    assert indexes[0] == 0
    assert len({index % 3 for index in indexes[1:]}) == 1
    assert len(indexes) in {4, 5}
    assert asked(at_once=False) == indexes


def test_too_many_waiting_segments_are_skipped_oldest_first_and_counted() -> None:
    room = Room(WindowConfig(mean_every=1, waiting_segments=2))
    room.start()
    for i in range(6):
        room.say(f"segment number {i}", 30 * i)
    assert [segment.index - SEGMENT for segment in room.aggregate.closed_segments()] == [2, 3]
    assert room.aggregate.take_segments_skipped() == 2
    assert room.aggregate.take_segments_skipped() == 0


def test_vectors_of_another_encoder_are_dropped() -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    title, chat = room.texts()
    room.aggregate.set_chat_vector(chat, vector(1, 0), "old")
    room.aggregate.set_title_vector(title, vector(1, 0), "new")
    assert (room.state.chat_vector, room.state.encoder_version) == (b"", "new")
    assert room.aggregate.chat_text() == chat


def test_a_declared_language_stands_and_an_undeclared_one_is_guessed() -> None:
    room = Room()
    room.start(0, "что происходит сегодня")
    assert (room.state.language, room.state.language_guessed) == ("ru", True)
    room.say("no sé por qué está así", 1)
    room.say("pero eso es muy bien", 2)
    text = room.aggregate.chat_text()
    assert text is not None
    room.aggregate.set_chat_vector(text, vector(1, 0), "e")
    assert (room.state.language, room.state.language_guessed) == ("es", True)
    room.start(3, language="pt-BR")
    assert (room.state.language, room.state.language_guessed) == ("pt-BR", False)


def test_a_segment_without_text_is_published_and_held_back_no_longer() -> None:
    room = Room()
    room.start()
    room.say("", 1)
    assert room.aggregate.chat_text() is None
    room.aggregate.mark_published()
    room.aggregate.close_idle(START_MS + 200_000)
    assert (room.aggregate.dirty, room.state.mean_segment) == (True, SEGMENT)
    room.aggregate.mark_published()
    assert room.aggregate.retained_offset(START_MS + 200_000) is None


def test_only_what_is_not_published_is_dirty_and_held_back() -> None:
    room = Room()
    room.start()
    room.say("what a play", 1)
    title, chat = room.texts()
    room.aggregate.set_title_vector(title, vector(1, 0), "e")
    room.aggregate.set_chat_vector(chat, vector(1, 0), "e")
    assert (room.aggregate.dirty, room.aggregate.unpublished_rooms_offset) == (True, 1)
    room.aggregate.mark_published()
    assert (room.aggregate.dirty, room.aggregate.unpublished_rooms_offset) == (False, None)
    assert room.aggregate.retained_offset(START_MS + 50_000) == 2, "the window"
    room.aggregate.close_idle(START_MS + 200_000)
    (segment,) = room.aggregate.closed_segments()
    assert room.aggregate.retained_offset(START_MS + 200_000) == 2, "the segment that is not in the mean"
    room.aggregate.add_segment(segment.index, vector(1, 0), "e")
    assert room.aggregate.retained_offset(START_MS + 200_000) == 2, "the mean that is not published"
    room.aggregate.mark_published()
    assert room.aggregate.retained_offset(START_MS + 200_000) is None
    again = msgspec.structs.replace(room.state, published_ms=0)
    assert again.window_messages == 1, "what was counted stays said while nothing new comes"
