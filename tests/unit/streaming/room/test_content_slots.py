"""A state as a reader of one encoder's vectors sees it."""

from __future__ import annotations

from msgspec import structs

from streaming.events import OtherContent, RoomState
from streaming.log.codec import Decoder, encode
from streaming.log.topics import ROOM_STATES
from streaming.room.content_slots import encoders_of, read_by
from tests.unit.training.features.test_room_columns import state as room_state


def _of_two() -> RoomState:
    other = OtherContent("new", b"bt", b"bc", b"bm", 21, 22, 23, 24, 25)
    own = {"title_vector": b"at", "chat_vector": b"ac", "mean_vector": b"am", "title_hash": 11, "chat_hash": 12}
    more = {"vector_offset": 13, "segment_end_ms": 14, "appended_ms": 15, "encoder_version": "old"}
    return structs.replace(room_state("r"), **own, **more, other=other)


def test_a_reader_of_the_other_encoder_sees_its_vectors_as_the_rooms_own() -> None:
    seen = read_by(_of_two(), "new")
    assert (seen.encoder_version, seen.title_vector, seen.chat_vector, seen.mean_vector) == ("new", b"bt", b"bc", b"bm")
    assert (seen.title_hash, seen.chat_hash, seen.vector_offset) == (21, 22, 23)
    assert (seen.segment_end_ms, seen.appended_ms) == (24, 25)
    assert seen.title == _of_two().title


def test_what_is_not_in_front_is_kept() -> None:
    state = _of_two()
    assert encoders_of(read_by(state, "new")) == ("new", "old")
    assert read_by(read_by(state, "new"), "old") == state
    assert read_by(state, "old") is state


def test_a_reader_of_an_encoder_that_has_not_read_the_room_sees_no_vector_of_another() -> None:
    alone = structs.replace(_of_two(), other=None)
    seen = read_by(alone, "new")
    assert (seen.encoder_version, seen.title_vector, seen.chat_vector, seen.mean_vector) == ("", b"", b"", b"")
    assert (seen.vector_offset, seen.segment_end_ms, seen.title_hash) == (-1, 0, 0)
    assert read_by(seen, "old") == alone
    assert encoders_of(seen) == ("old",)


def test_a_room_that_nobody_has_read_has_no_encoder() -> None:
    blank = structs.replace(_of_two(), encoder_version="", other=None)
    assert encoders_of(blank) == ()
    assert read_by(blank, "new").encoder_version == ""


def test_the_second_encoder_is_written_and_read() -> None:
    state = _of_two()
    assert Decoder(ROOM_STATES)(encode(state)) == state
