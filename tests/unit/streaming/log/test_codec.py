"""The properties of the codec: what is written is read, and whatever else is read is one of two errors."""

from __future__ import annotations

import json
import math

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.errors import MalformedRecord, RecordError, UnknownVersion
from streaming.events import (
    MAX_AT_MS,
    MIN_AT_MS,
    ChatMessage,
    RoomActivity,
    RoomEnded,
    RoomId,
    RoomStarted,
    RoomUpdated,
    Speech,
    ViewerEvent,
)
from streaming.log.codec import Decoder, encode, json_schema
from streaming.log.topics import CHAT, ROOM_ACTIVITY, ROOMS, TOPICS, VIEWER_EVENTS

DECODERS = {name: Decoder(name) for name in TOPICS}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # a lone surrogate is no text that UTF-8 can carry
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
TIMES = st.integers(MIN_AT_MS, MAX_AT_MS)
DESCRIPTIONS = {
    "room": IDS,
    "streamer": IDS,
    "at_ms": TIMES,
    "title": TEXT.map(lambda text: text[:2000]),
    "tags": st.lists(TEXT.map(lambda text: text[:200]), max_size=32),
    "mature": st.booleans(),
}
RECORDS = st.one_of(
    st.tuples(st.just(ROOMS), st.builds(RoomStarted, **DESCRIPTIONS)),
    st.tuples(st.just(ROOMS), st.builds(RoomUpdated, **DESCRIPTIONS)),
    st.tuples(st.just(ROOMS), st.builds(RoomEnded, room=IDS, at_ms=TIMES)),
    st.tuples(st.just(CHAT), st.builds(ChatMessage, room=IDS, viewer=IDS, text=TEXT, at_ms=TIMES)),
    st.tuples(st.just(CHAT), st.builds(Speech, room=IDS, text=TEXT, at_ms=TIMES)),
    st.tuples(
        st.just(VIEWER_EVENTS),
        st.builds(
            ViewerEvent,
            viewer=IDS,
            room=IDS,
            streamer=IDS,
            action=st.sampled_from(["enter", "leave", "watch", "like", "gift", "follow", "chat"]),
            at_ms=TIMES,
            seconds=st.floats(0, 86_400),
        ),
    ),
    st.tuples(
        st.just(ROOM_ACTIVITY),
        st.builds(RoomActivity, room=IDS.map(RoomId), bucket_ms=TIMES, entered=st.integers(0, 2**40)),
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)
VALIDATORS = {name: jsonschema.Draft202012Validator(json_schema(name)) for name in TOPICS}
CHAT_FIELDS = {"type": "chat", "v": 1, "room": "r", "viewer": "w", "text": "hello", "at_ms": 1}


def chat(**changes: object) -> bytes:
    return json.dumps({**CHAT_FIELDS, **changes}).encode()


@given(RECORDS)
def test_what_is_written_is_read(named: tuple[str, msgspec.Struct]) -> None:
    topic, record = named
    assert DECODERS[topic](encode(record)) == record  # type: ignore[arg-type]


@given(st.sampled_from(list(TOPICS)), st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_record_errors(topic: str, value: bytes) -> None:
    try:
        DECODERS[topic](value)
    except RecordError as err:
        assert topic in str(err)


@given(st.sampled_from(list(TOPICS)), JSON)
def test_arbitrary_json_and_msgpack_raise_nothing_but_record_errors(topic: str, value: object) -> None:
    for written in (json.dumps(value).encode(), _msgpack(value)):
        try:
            DECODERS[topic](written)
        except RecordError as err:
            assert topic in str(err)


@given(RECORDS, st.data())
def test_a_record_with_changed_bytes_is_read_or_refused(named: tuple[str, msgspec.Struct], data: st.DataObject) -> None:
    topic, record = named
    written = bytearray(encode(record))  # type: ignore[arg-type]
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] = data.draw(st.integers(0, 255))
    try:
        encode(DECODERS[topic](bytes(written)))  # what was let in can be written again
    except RecordError as err:
        assert topic in str(err)


@given(TEXT.filter(lambda name: name not in CHAT_FIELDS), JSON)
def test_an_unknown_field_is_ignored(name: str, value: object) -> None:
    written = msgspec.json.encode({**CHAT_FIELDS, name: value})
    assert DECODERS[CHAT](written) == ChatMessage(room="r", viewer="w", text="hello", at_ms=1)


def test_a_field_appended_to_an_internal_record_is_ignored() -> None:
    written = msgspec.msgpack.encode([1, "r", 10_000, 3, 1, 0, 0, 0, 0, 0, 2, [], 0, 0, "from a later build"])
    assert DECODERS[ROOM_ACTIVITY](written) == RoomActivity(
        room=RoomId("r"), bucket_ms=10_000, entered=3, newcomers=1, first_entered=2
    )


@pytest.mark.parametrize(
    "value", [chat(v=2), chat(v=0), b'{"v":2}', b'{"v":7,"type":"vision","room":3}', chat(v=10**30)]
)
def test_another_version_is_unknown_whether_its_fields_fit_or_not(value: bytes) -> None:
    with pytest.raises(UnknownVersion, match="this build reads version 1"):
        DECODERS[CHAT](value)


def test_an_internal_record_of_the_next_version_is_read_without_its_new_fields() -> None:
    """An upgrade that is rolled back leaves such records to the build before."""
    written = msgspec.msgpack.encode([2, "r", 10_000, 3, 1, 0, 0, 0, 0, 0, 2, [], 0, 0, "new in version 2"])
    read = DECODERS[ROOM_ACTIVITY](written)
    assert read == RoomActivity(v=2, room=RoomId("r"), bucket_ms=10_000, entered=3, newcomers=1, first_entered=2)
    assert DECODERS[ROOM_ACTIVITY].all([written]) == [read]
    DECODERS[ROOM_ACTIVITY].require_known_version(written)


def test_a_version_of_an_internal_record_further_away_is_unknown() -> None:
    for value in ([3], [3, "r", 1], [0, {"a": 1}], [3, "r", 10_000, 3, 1, 0, 0, 0, 0, 0, 2, [], 0, 0]):
        written = msgspec.msgpack.encode(value)
        for read in (DECODERS[ROOM_ACTIVITY], DECODERS[ROOM_ACTIVITY].require_known_version):
            with pytest.raises(UnknownVersion, match="this build reads version 1 and 2"):
                read(written)
        with pytest.raises(RecordError):
            DECODERS[ROOM_ACTIVITY].all([written])


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"NaN",
        b"[]",
        b'"chat"',
        chat(room=None),
        chat(room=""),
        chat(room="r" * 129),
        chat(at_ms=True),
        chat(at_ms=-1),
        chat(at_ms="now"),
        chat(at_ms=MAX_AT_MS + 1),
        chat(at_ms=math.nan),
        chat(at_ms=10**400),
        chat(v="1"),
        chat(type="unknown"),
        chat()[:-1],
        chat() + b"}",
        chat().decode().encode("utf-16"),
        chat(text="?").replace(b"?", b"\x00"),
        b"[" * 100_000,
        b'{"v":1,"extra":' + b"[" * 100_000,
    ],
    ids=lambda value: repr(value[:40]),
)
def test_what_is_no_chat_message_is_malformed(value: bytes) -> None:
    with pytest.raises(MalformedRecord, match=r"^chat: "):
        DECODERS[CHAT](value)


@pytest.mark.parametrize("seconds", [math.inf, -1, 86_401, "five"])
def test_seconds_out_of_range_are_malformed(seconds: object) -> None:
    fields = {"type": "viewer", "viewer": "w", "room": "r", "streamer": "s", "action": "watch", "at_ms": 1}
    with pytest.raises(MalformedRecord):
        DECODERS[VIEWER_EVENTS](json.dumps({**fields, "seconds": seconds}).encode())


@pytest.mark.parametrize("text", ["", "x" * 1_000_000, "\x00\x01\x1f\x7f\u202e", "😀" * 1000])
def test_empty_huge_and_control_texts_are_read_as_they_are(text: str) -> None:
    assert DECODERS[CHAT](chat(text=text)).text == text


def test_a_reason_stays_short_whatever_was_found() -> None:
    with pytest.raises(MalformedRecord) as raised:
        DECODERS[CHAT](chat(type="x" * 1_000_000))
    assert len(str(raised.value)) < 400


def test_a_text_that_utf8_cannot_carry_is_refused_on_writing() -> None:
    with pytest.raises(MalformedRecord):
        encode(ChatMessage(room="r", viewer="w", text="\ud800", at_ms=1))


def test_an_unknown_topic_is_named_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="no topic 'chats'; the topics are rooms, chat"):
        Decoder("chats")


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_a_valid_schema(topic: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(topic))


@given(RECORDS.filter(lambda named: named[0] != ROOM_ACTIVITY))
@settings(max_examples=50)
def test_what_is_written_fits_the_schema_that_producers_are_given(named: tuple[str, msgspec.Struct]) -> None:
    topic, record = named
    VALIDATORS[topic].validate(json.loads(encode(record)))  # type: ignore[arg-type]


def _msgpack(value: object) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        return b""


def test_a_message_without_a_type_is_one_and_a_transcript_needs_its_type() -> None:
    message = {"room": "r", "viewer": "w", "text": "hello", "at_ms": MIN_AT_MS}
    found = DECODERS[CHAT].read(json.dumps(message).encode())
    assert found == (ChatMessage(room="r", viewer="w", text="hello", at_ms=MIN_AT_MS), ("no_type",))
    del message["viewer"]
    with pytest.raises(MalformedRecord, match="`type` is chat, speech"):
        DECODERS[CHAT].read(json.dumps(message).encode())


@pytest.mark.parametrize(
    "changed",
    [{"room": None}, {"room": ""}, {"text": ["a"]}, {"text": {"a": 1}}, {"at_ms": "soon"}, {"at_ms": -1}, {"v": 9}],
)
def test_a_transcript_that_cannot_be_meant_is_refused(changed: dict[str, object]) -> None:
    value = {"type": "speech", "room": "r", "text": "hello everybody", "at_ms": MIN_AT_MS, **changed}
    with pytest.raises(RecordError):
        DECODERS[CHAT](json.dumps(value).encode())


def test_a_transcript_is_mended_as_a_message_is() -> None:
    value = {"type": "SPEECH", "room": 7, "text": None, "at_ms": 1_764_000_000, "confidence": 0.9}
    found = DECODERS[CHAT].read(json.dumps(value).encode())
    assert found.record == Speech(room="7", text="", at_ms=1_764_000_000_000)
    assert found.mended == ("letter_case", "null", "number_for_text", "seconds")
