"""Tests that fields of attribution are read by builds that know them, and ignored by the builds before."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from streaming.errors import MalformedRecord
from streaming.events import Impression, InternalRecord, ProducerRecord, RoomId, ViewerEvent, ViewerId
from streaming.log.codec import Decoder, encode
from streaming.log.topics import IMPRESSIONS, VIEWER_EVENTS

EVENT: dict[str, Any] = {
    "type": "viewer", "viewer": "w", "room": "r", "streamer": "s", "action": "enter", "at_ms": 1_764_000_050_000,
}  # fmt: skip


class EventBefore(ProducerRecord, frozen=True, kw_only=True, tag="viewer"):
    """ViewerEvent as the build before has it."""

    viewer: str
    room: str
    streamer: str
    action: str
    at_ms: int
    seconds: float = 0.0
    id: str = ""


class ImpressionBefore(InternalRecord, frozen=True, kw_only=True):
    """Impression as the build before has it."""

    request: str
    viewer: str
    rooms: tuple[str, ...]
    scores: tuple[float, ...]
    propensities: tuple[float, ...]
    model_version: str
    at_ms: int


def read(**changes: Any) -> Any:
    return Decoder(VIEWER_EVENTS).read(msgspec.json.encode({**EVENT, **changes}))


def test_an_event_may_name_the_answer_and_the_place_in_it() -> None:
    record, mended = read(request_id="q-1", position=3)
    assert (record.request_id, record.position, mended) == ("q-1", 3, ())
    record, _ = read()
    assert (record.request_id, record.position) == ("", 0)


@pytest.mark.parametrize(
    ("given", "expected", "reason"),
    [
        ({"request_id": None, "position": None}, ("", 0), "null"),
        ({"request_id": 17}, ("17", 0), "number_for_text"),
        ({"position": "3"}, ("", 3), "text_for_number"),
        ({"request_id": 18, "position": 3.0}, ("18", 3), "number_for_text"),
    ],
)
def test_what_other_languages_write_is_mended(given: Any, expected: tuple[str, int], reason: str) -> None:
    record, mended = read(**given)
    assert (record.request_id, record.position) == expected
    assert reason in mended


@pytest.mark.parametrize(
    "wrong",
    [{"position": -1}, {"position": 1_000_001}, {"position": 2.5}, {"position": "first"}, {"request_id": "x" * 129}],
    ids=["negative", "huge", "half", "word", "long"],
)
def test_what_is_no_place_is_refused_by_name(wrong: Any) -> None:
    (field,) = wrong
    with pytest.raises(MalformedRecord, match=field):
        read(**wrong)


def test_the_build_before_reads_an_event_without_them() -> None:
    event = ViewerEvent(**{name: value for name, value in EVENT.items() if name != "type"}, request_id="q", position=3)
    before = msgspec.json.decode(encode(event), type=EventBefore)
    assert (before.viewer, before.room, before.action, before.at_ms) == ("w", "r", "enter", event.at_ms)


def test_an_impression_is_read_by_the_build_before_and_one_of_that_build_by_this() -> None:
    now = Impression(
        request_id="q", viewer=ViewerId("w"), rooms=(RoomId("r"),), scores=(1.0,), propensities=(1.0,),
        model_version="v0", at_ms=5, sources=("new",), first_position=21,
    )  # fmt: skip
    before = msgspec.msgpack.decode(encode(now), type=ImpressionBefore)
    assert (before.request, before.rooms, before.at_ms) == ("q", ("r",), 5)
    again = Decoder(IMPRESSIONS)(msgspec.msgpack.encode(before))
    assert again == msgspec.structs.replace(now, sources=(), first_position=1)
