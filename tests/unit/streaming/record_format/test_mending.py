"""What is read though no schema allows it: what other languages write by default, and what stays a dead letter."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.clock import ManualClock
from streaming.errors import MalformedRecord, RecordError, UnknownVersion
from streaming.events import MAX_AT_MS, ChatMessage, RoomEnded, RoomStarted
from streaming.log.codec import Decoder, encode
from streaming.log.dead_letter import DeadLetters
from streaming.log.memory_log import MemoryLog
from streaming.log.memory_record import MemoryRecord
from streaming.log.topics import CHAT, DEAD_LETTER, ROOMS, VIEWER_EVENTS
from streaming.metrics import MemoryMetrics
from streaming.record_format.grapheme import cut
from streaming.record_format.mending import REASONS

AT_MS = 1_764_000_000_000
STARTED = {"type": "started", "room": "r", "streamer": "ana", "at_ms": AT_MS}
CHAT_FIELDS = {"type": "chat", "room": "r", "viewer": "w", "text": "hello", "at_ms": AT_MS}
EVENT = {"type": "viewer", "viewer": "w", "room": "r", "streamer": "ana", "action": "watch", "at_ms": AT_MS}
FIELDS = {ROOMS: STARTED, CHAT: CHAT_FIELDS, VIEWER_EVENTS: EVENT}
FAMILY = "👩\u200d👩\u200d👧"


def read(topic: str, value: bytes | None = None, **changes: Any) -> tuple[Any, tuple[str, ...]]:
    return Decoder(topic).read(value if value is not None else json.dumps({**FIELDS[topic], **changes}).encode())


@pytest.mark.parametrize("field", ["title", "category", "language", "tags", "mature", "v"])
@pytest.mark.parametrize("absent", [None, math.nan], ids=["null", "the NaN of pandas"])
def test_null_for_an_optional_field_is_as_not_given(field: str, absent: object) -> None:
    assert read(ROOMS, **{field: absent}) == (RoomStarted(room="r", streamer="ana", at_ms=AT_MS), ("null",))


@pytest.mark.parametrize("absent", [None, math.nan], ids=["null", "the NaN of pandas"])
def test_a_message_whose_text_is_null_says_nothing_and_counts(absent: object) -> None:
    assert read(CHAT, text=absent) == (ChatMessage(room="r", viewer="w", text="", at_ms=AT_MS), ("null",))


@pytest.mark.parametrize("absent", [None, math.nan], ids=["null", "the NaN of pandas"])
def test_seconds_that_are_null_are_none(absent: object) -> None:
    record, mended = read(VIEWER_EVENTS, seconds=absent)
    assert (record.seconds, mended) == (0.0, ("null",))


@pytest.mark.parametrize("topic", FIELDS)
def test_a_version_may_be_a_float_where_all_numbers_are(topic: str) -> None:
    assert read(topic, v=1.0) == (read(topic)[0], ("fraction",))
    for version in (2.0, 0.0):
        with pytest.raises(UnknownVersion):
            read(topic, v=version)


@pytest.mark.parametrize(("topic", "field"), [(ROOMS, "room"), (ROOMS, "streamer"), (CHAT, "viewer"), (CHAT, "at_ms")])
def test_null_for_a_field_that_has_to_be_given_is_malformed_and_named(topic: str, field: str) -> None:
    with pytest.raises(MalformedRecord, match=f"`{field}` is null"):
        read(topic, **{field: None})


@pytest.mark.parametrize(("topic", "field"), [(ROOMS, "room"), (ROOMS, "streamer"), (CHAT, "room"), (CHAT, "viewer"),
                                              (VIEWER_EVENTS, "viewer"), (VIEWER_EVENTS, "streamer")])  # fmt: skip
@pytest.mark.parametrize(
    ("number", "text"),
    [(7, "7"), (0, "0"), (-5, "-5"), (12345.0, "12345"), (2**64 + 1, "18446744073709551617"), (10**40, "1" + "0" * 40)],
)
def test_a_whole_number_is_an_id_to_its_last_digit(topic: str, field: str, number: float, text: str) -> None:
    record, mended = read(topic, **{field: number})
    assert (getattr(record, field), mended) == (text, ("number_for_text",))


@pytest.mark.parametrize("wrong", [1.5, 1e30, True, "", "r" * 129, 10**200, "half \ud83d", ["r"], {"id": 1}, math.inf])
def test_what_may_be_another_id_is_never_taken_for_one(wrong: object) -> None:
    with pytest.raises(MalformedRecord, match=r"^rooms: "):
        read(ROOMS, room=wrong)


def test_an_id_with_bytes_that_are_not_utf8_is_refused_and_a_text_with_them_is_read() -> None:
    value = json.dumps({**STARTED, "title": "?", "streamer": "!"}).encode()
    record, mended = read(ROOMS, value.replace(b"?", "é".encode()[:1]))
    assert (record.title, mended) == ("\ufffd", ("broken_text",))
    with pytest.raises(MalformedRecord, match="`streamer`: an id must be whole"):
        read(ROOMS, value.replace(b"!", b"\xff"))


@pytest.mark.parametrize(
    ("cut_off", "text"),
    [
        (rb"to diamond \ud83d", "to diamond \ufffd"),
        (rb"\ude00 at once", "\ufffd at once"),
        (rb"\ud83d\ude00 is whole, \ud83d is not", "😀 is whole, \ufffd is not"),
        ("to diamond 😀".encode()[:-1], "to diamond \ufffd"),
        ("Café".encode("latin-1"), "Caf\ufffd"),
    ],
)
@pytest.mark.parametrize(("topic", "field"), [(ROOMS, "title"), (ROOMS, "category"), (CHAT, "text")])
def test_half_an_emoji_is_one_replacement_character(topic: str, field: str, cut_off: bytes, text: str) -> None:
    value = json.dumps({**FIELDS[topic], field: "?"}).encode().replace(b"?", cut_off)
    record, mended = read(topic, value)
    assert (getattr(record, field), mended) == (text, ("broken_text",))
    encode(record)  # what was let in can be written again


def test_a_tag_with_half_an_emoji_is_read() -> None:
    value = json.dumps({**STARTED, "tags": ["a", "?"]}).encode().replace(b"?", rb"\ud83d")
    assert read(ROOMS, value)[0].tags == ["a", "\ufffd"]


@pytest.mark.parametrize(("field", "limit"), [("title", 2_000), ("category", 200)])
def test_a_text_over_its_limit_is_cut_between_what_readers_see_as_characters(field: str, limit: int) -> None:
    record, mended = read(ROOMS, **{field: "x" * (limit - 2) + FAMILY + "y"})
    assert (getattr(record, field), mended) == ("x" * (limit - 2), ("long_text",))
    assert getattr(read(ROOMS, **{field: "x" * limit})[0], field) == "x" * limit
    assert len(getattr(read(ROOMS, **{field: "e" + "\u0301" * 5_000})[0], field)) == limit


def test_a_tag_over_its_limit_is_cut_and_a_language_keeps_its_first_subtags() -> None:
    assert read(ROOMS, tags=["t" * 300])[0].tags == ["t" * 200]
    assert read(ROOMS, language="de-DE-u-co-phonebk-x-something-longer")[0].language == "de-DE-u-co-phonebk-x-something"
    assert read(ROOMS, language="the language that is spoken here, mostly")[0].language == ""


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_is_a_beginning_of_it_and_not_longer(text: str, limit: int) -> None:
    assert text.startswith(cut(text, limit))
    assert len(cut(text, limit)) == len(text) if len(text) <= limit else 0 < len(cut(text, limit)) <= limit


def test_the_first_32_tags_are_kept() -> None:
    record, mended = read(ROOMS, tags=[f"tag{number}" for number in range(33)])
    assert (record.tags, mended) == ([f"tag{number}" for number in range(32)], ("many_tags",))


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ("blitz", ["blitz"]),
        ("", []),
        ([1, "b", None, math.nan], ["1", "b"]),
        ({}, []),
        ({"0": "a", "2": "b"}, ["a", "b"]),
        ([], []),
    ],
)
def test_lists_as_php_lua_and_xml_write_them_are_lists(tags: object, kept: list[str]) -> None:
    assert read(ROOMS, tags=tags)[0].tags == kept


@pytest.mark.parametrize(
    ("mature", "truth"), [(0, False), (1, True), (0.0, False), (1.0, True), ("True", True), ("false", False)]
)
def test_a_truth_as_databases_write_it_is_one(mature: object, truth: bool) -> None:
    record, mended = read(ROOMS, mature=mature)
    assert (record.mature, mended) == (truth, ("other_truth",))


@pytest.mark.parametrize(
    ("topic", "changes"),
    [
        (ROOMS, {"mature": "yes"}),  # taken for false, it would show what must not be shown
        (ROOMS, {"mature": 2}),
        (ROOMS, {"tags": {"a": 1}}),
        (ROOMS, {"tags": [["a"]]}),
        (ROOMS, {"title": ["t"]}),
        (ROOMS, {"title": True}),
        (ROOMS, {"type": "begun"}),
        (ROOMS, {"type": 3}),
        (CHAT, {"text": {"said": "hello"}}),
        (VIEWER_EVENTS, {"action": "dance"}),
        (VIEWER_EVENTS, {"seconds": 30_000_000}),
        (VIEWER_EVENTS, {"seconds": -1}),
        (VIEWER_EVENTS, {"seconds": "long"}),
    ],
)
def test_what_cannot_be_told_stays_malformed(topic: str, changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedRecord, match=f"^{topic}: "):
        read(topic, **changes)


def test_a_number_is_a_text_and_a_text_of_digits_a_number() -> None:
    assert read(ROOMS, title=2048)[0].title == "2048"
    assert read(CHAT, text=777)[0].text == "777"
    assert read(VIEWER_EVENTS, seconds="2.5")[0].seconds == 2.5
    assert read(CHAT, at_ms="1.764E12")[0].at_ms == AT_MS  # Java's Double
    assert read(CHAT, at_ms=str(AT_MS)) == (ChatMessage(**_without_type(CHAT_FIELDS)), ("text_for_number",))


def test_capitals_as_an_enumeration_of_java_has_them_are_read() -> None:
    assert read(VIEWER_EVENTS, action="WATCH") == (Decoder(VIEWER_EVENTS)(json.dumps(EVENT).encode()), ("letter_case",))
    assert read(ROOMS, type="Started")[1] == ("letter_case",)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert read(CHAT, b"\xef\xbb\xbf" + json.dumps(CHAT_FIELDS).encode())[1] == ("byte_order_mark",)


@pytest.mark.parametrize(
    ("at", "unit"),
    [
        (AT_MS // 1_000, "seconds"),
        (AT_MS / 1_000 + 0.25, "seconds"),
        (AT_MS * 1_000, "microseconds"),
        (AT_MS * 1_000_000, "nanoseconds"),
        (float(AT_MS), "fraction"),
        (AT_MS + 0.5, "fraction"),
    ],
)
@pytest.mark.parametrize("topic", FIELDS)
def test_a_time_in_another_unit_is_read_as_what_it_is_and_said(topic: str, at: float, unit: str) -> None:
    record, mended = read(topic, at_ms=at)
    assert abs(record.at_ms - AT_MS) < 1_000
    assert mended == (unit,)


@pytest.mark.parametrize(
    "at", [-1, -AT_MS, AT_MS // 100, AT_MS // 10, AT_MS * 10, 10**25, "today", True, [AT_MS], math.inf]
)
@pytest.mark.parametrize("topic", FIELDS)
def test_a_time_in_no_unit_is_malformed(topic: str, at: object) -> None:
    with pytest.raises(MalformedRecord, match="milliseconds"):
        read(topic, at_ms=at)


@pytest.mark.parametrize(
    "clock",
    [
        *[
            {"at_ms": at}
            for at in (-1, 0.5e10, AT_MS * 10, 10**25, math.inf, math.nan, None, "", "soon", True, [AT_MS])
        ],
        {"at_ms": "2025-02-17T00:18:16Z"},
        {},
    ],
    ids=str,
)
def test_an_end_is_read_whatever_its_clock_says(clock: dict[str, object]) -> None:
    record, mended = Decoder(ROOMS).read(json.dumps({"type": "ended", "room": "r", **clock}).encode())
    assert isinstance(record, RoomEnded)
    assert (record.at_ms, mended) == (MAX_AT_MS, ("end_time",))
    with pytest.raises(MalformedRecord):
        Decoder(ROOMS)(json.dumps({"type": "ended", **clock}).encode())


def test_times_since_the_start_of_a_recording_are_read_as_they_are() -> None:
    assert read(CHAT, at_ms=0) == (ChatMessage(room="r", viewer="w", text="hello", at_ms=0), ())


def test_another_version_is_unknown_however_it_is_written() -> None:
    with pytest.raises(UnknownVersion):
        read(ROOMS, v=2, title=None)
    with pytest.raises(UnknownVersion):
        read(ROOMS, json.dumps({**STARTED, "v": 2, "title": "?"}).encode().replace(b"?", rb"\ud83d"))


@given(st.sampled_from(list(FIELDS)), st.data())
def test_any_value_in_any_field_is_read_or_refused_and_what_is_read_can_be_written(
    topic: str, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(list(FIELDS[topic])))
    anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=3)
    try:
        record, mended = read(topic, **{name: data.draw(anything)})
    except RecordError as err:
        assert str(err).startswith(topic)
        return
    assert Decoder(topic)(encode(record)) == record
    assert set(mended) <= REASONS


def test_what_is_mended_among_much_is_counted_by_topic_and_reason_and_delays_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, metrics = ManualClock(), MemoryMetrics()
    log = MemoryLog(clock, {DEAD_LETTER: 1})
    letters = DeadLetters(log.sink(), metrics, clock)
    clean = [json.dumps({**CHAT_FIELDS, "text": str(number)}).encode() for number in range(5)]
    dirty = [json.dumps({**CHAT_FIELDS, **change}).encode() for change in ({"viewer": 7}, {"viewer": 8, "text": None})]
    values: list[bytes | None] = [*clean, dirty[0], *clean, dirty[1]]
    for rubbish in ([], [b"rubbish", None]):
        records = [MemoryRecord(CHAT, 0, at, 5, b"r", value) for at, value in enumerate([*values, *rubbish])]
        said = [(record.offset, message.viewer) for record, message in letters.decoded(records, Decoder(CHAT))]
        assert [offset for offset, _ in said] == list(range(12))
        assert [viewer for _, viewer in said if viewer != "w"] == ["7", "8"]
    assert metrics.value("records_mended_total", topic=CHAT, reason="number_for_text") == 4
    assert metrics.value("records_mended_total", topic=CHAT, reason="null") == 2
    assert metrics.value("dead_letters_total", topic=CHAT) == 2
    assert [message for message in caplog.messages if "number_for_text" in message] == [
        "chat partition 0 offset 5: mended (number_for_text); docs/kafka.md says how its producer should write it. "
        "Said once, records_mended_total counts"
    ]


def test_every_reason_is_on_the_page_that_tells_producers() -> None:
    page = (Path(__file__).parents[4] / "docs" / "kafka.md").read_text(encoding="utf-8")
    assert {reason for reason in REASONS if f"`{reason}`" not in page} == set()


def _without_type(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "type"}


def test_what_is_clean_is_never_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Decoder(CHAT)
    monkeypatch.setattr(decode, "_mender", None)
    assert decode(msgspec.json.encode(CHAT_FIELDS)).text == "hello"


def test_an_action_without_a_type_is_a_viewer_event() -> None:
    without = json.dumps({name: value for name, value in EVENT.items() if name != "type"}).encode()
    assert read(VIEWER_EVENTS, without) == (read(VIEWER_EVENTS)[0], ("no_type",))
    with pytest.raises(MalformedRecord):
        read(VIEWER_EVENTS, json.dumps({"viewer": "w", "at_ms": AT_MS}).encode())  # nobody is erased by chance
