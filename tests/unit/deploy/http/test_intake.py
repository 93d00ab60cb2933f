"""Records over HTTP: each has its own verdict, and what is accepted is on the log as producers would write it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.intake.intake import TAKEN, Taken
from actors.settings import IntakeConfig
from deploy.http.problem import CONTENT_TYPE
from streaming.errors import NotTaken, TooManyWaiting
from streaming.events import ChatMessage, RoomId, RoomStarted, Speech, StreamerId, ViewerEvent, ViewerId
from streaming.log.codec import Decoder, encode
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from streaming.log.partitioner import partition_of
from tests.unit.deploy.http.called_api import JSON, Caller, Got, packed

AT_MS = 1_700_000_000_000  # now, by the caller's clock
LINES = {"content-type": "application/x-ndjson"}


def chat(text: str = "hello", **fields: Any) -> bytes:
    message = {"type": "chat", "room": "r", "viewer": "w", "text": text, "at_ms": AT_MS, **fields}
    return json.dumps(message).encode()


def event(**fields: Any) -> bytes:
    entry = {"type": "viewer", "viewer": "w", "room": "r", "streamer": "s", "action": "gift", "at_ms": AT_MS}
    return json.dumps({**entry, **fields}).encode()


def array(*records: bytes) -> bytes:
    return b"[" + b",".join(records) + b"]"


@pytest.fixture
def call() -> Caller:
    return Caller(max_body_bytes=2_000_000)


def written(call: Caller, topic: str) -> list[Any]:
    """The records on a topic, of which each lies where its key belongs."""
    assert isinstance(call.log, MemoryLog)
    found = []
    for index in range(2):
        for record in call.log.read(Partition(topic, index), 0, 100_000):
            assert record.key is not None
            assert record.value is not None
            assert record.partition == partition_of(record.key, 2)
            decoded = Decoder(topic)(record.value)
            assert record.key == (decoded.viewer if topic == "viewer-events" else decoded.room).encode()
            found.append(decoded)
    return found


def texts(call: Caller) -> list[str]:
    return [message.text for message in written(call, "chat")]


def accepted(got: Got) -> list[bool]:
    return [verdict["accepted"] for verdict in got.json["verdicts"]]


@pytest.mark.parametrize(
    ("path", "record"),
    [
        ("rooms", RoomStarted(room="r", streamer="s", at_ms=AT_MS, title="Ränked", tags=["a"], mature=True)),
        ("chat", ChatMessage(room="r", viewer="w", text="hé 😀", at_ms=AT_MS)),
        ("chat", Speech(room="r", text="we open with a gambit", at_ms=AT_MS)),
        ("viewer-events", ViewerEvent(viewer="w", room="r", streamer="s", action="watch", at_ms=AT_MS, seconds=2.5)),
    ],
)
def test_a_record_is_on_the_log_as_a_producer_would_have_written_it(call: Caller, path: str, record: Any) -> None:
    got = call("POST", f"/v1/{path}", encode(record), JSON)
    assert (got.status, got.json) == (200, {"accepted": 1, "refused": 0, "verdicts": [{"index": 0, "accepted": True}]})
    assert written(call, path) == [record]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (array(chat("a"), chat("b")), JSON),
        (array(chat("a"), chat("b")), {}),
        (array(chat("a"), chat("b")), LINES),
        (b" \r\n[" + chat("a") + b" , " + chat("b") + b"]\n", JSON),
        (b"\xef\xbb\xbf" + array(chat("a"), chat("b")), JSON),
        (chat("a") + b"\n" + chat("b"), LINES),
        (chat("a") + b"\n" + chat("b") + b"\n", {"content-type": "application/x-www-form-urlencoded"}),
        (b"\r\n" + chat("a") + b"\r\n\r\n" + chat("b") + b"\r\n", LINES),
        (b"\xef\xbb\xbf" + chat("a") + b"\n  " + chat("b") + b"  ", LINES),
        (packed(array(chat("a"), chat("b"))), {"content-encoding": "gzip"}),
        (packed(chat("a") + b"\n") + packed(chat("b")), {**LINES, "content-encoding": "GZIP"}),
    ],
)
def test_arrays_lines_and_gzip_are_read_alike(call: Caller, body: bytes, headers: dict[str, str]) -> None:
    got = call("POST", "/v1/chat", body, headers)
    assert (got.status, got.json["accepted"]) == (200, 2)
    assert texts(call) == ["a", "b"]


def test_one_record_may_be_spread_over_lines(call: Caller) -> None:
    assert call("POST", "/v1/chat", json.dumps(json.loads(chat("a")), indent=2).encode(), JSON).status == 200
    assert texts(call) == ["a"]


def test_wrong_records_do_not_hold_back_the_others(call: Caller) -> None:
    bad = [b"5", b"{}", chat(room=""), chat(v=2), chat(at_ms=AT_MS + 61_000), chat("\ud800", room="\ud800"), b"null"]
    got = call("POST", "/v1/chat", array(chat("first"), *bad, chat("last")), JSON)
    assert (got.status, got.json["accepted"], got.json["refused"]) == (207, 2, len(bad))
    assert [verdict["index"] for verdict in got.json["verdicts"]] == list(range(len(bad) + 2))
    assert accepted(got) == [True, *[False] * len(bad), True]
    assert texts(call) == ["first", "last"]
    problems = [verdict["problem"] for verdict in got.json["verdicts"][1:-1]]
    assert [problem["field"] for problem in problems] == ["", "type", "room", "v", "at_ms", "room", ""]
    assert {problem["reason"] for problem in problems} == {"malformed", "unknown_version", "refused"}
    assert all(problem["detail"] and problem["allowed"] for problem in problems)
    assert call.metrics.value("intake_records_total", outcome="accepted") == 2
    assert call.metrics.value("intake_records_total", outcome="malformed") == 5
    assert call.metrics.value("intake_records_total", outcome="unknown_version") == 1
    assert call.metrics.value("intake_records_total", outcome="refused") == 1


def test_a_record_that_is_refused_alone_is_a_problem(call: Caller) -> None:
    got = call("POST", "/v1/chat", chat(viewer="x" * 129), JSON)
    assert (got.status, got.headers["content-type"]) == (422, CONTENT_TYPE)
    assert (got.json["field"], got.json["allowed"]) == ("viewer", "a text of 1 to 128 characters")
    assert (got.json["accepted"], got.json["refused"]) == (0, 1)
    assert written(call, "chat") == []


def test_what_workers_mend_is_mended_and_said(call: Caller) -> None:
    got = call("POST", "/v1/chat", array(chat("a", viewer=7), chat("b", at_ms=AT_MS // 1000)), JSON)
    assert got.status == 200
    assert [verdict["mended"] for verdict in got.json["verdicts"]] == [["number_for_text"], ["seconds"]]
    assert [(m.viewer, m.at_ms) for m in written(call, "chat")] == [("7", AT_MS), ("w", AT_MS)]
    assert call.metrics.value("records_mended_total", topic="chat", reason="seconds") == 1


def test_an_end_is_taken_whatever_its_clock_says(call: Caller) -> None:
    ends = [json.dumps({"type": "ended", "room": "r", "at_ms": at}).encode() for at in (AT_MS + 10**9, 10**30)]
    assert call("POST", "/v1/rooms", array(*ends), JSON).status == 200
    assert [end.at_ms for end in written(call, "rooms")] == [AT_MS + 10**9, AT_MS]


def test_fields_that_are_not_known_are_ignored(call: Caller) -> None:
    assert call("POST", "/v1/chat", chat("a", color="red"), JSON).status == 200
    assert texts(call) == ["a"]


def test_an_empty_array_is_taken(call: Caller) -> None:
    got = call("POST", "/v1/chat", b"[]", JSON)
    assert (got.status, got.json) == (200, {"accepted": 0, "refused": 0, "verdicts": []})


def test_records_of_a_key_keep_their_order(call: Caller) -> None:
    rooms = [RoomId(f"r{number}") for number in range(20)]
    sent = [ChatMessage(room=room, viewer=ViewerId("w"), text=str(n), at_ms=AT_MS) for n in range(50) for room in rooms]
    assert call("POST", "/v1/chat", array(*map(encode, sent)), JSON).json["accepted"] == 1_000
    for room in rooms:
        assert [m.text for m in written(call, "chat") if m.room == room] == [str(n) for n in range(50)]


def test_a_repeated_key_is_answered_as_before_and_writes_nothing(call: Caller) -> None:
    body = array(chat("a"), b"5", chat("b", viewer=7))
    first = call("POST", "/v1/chat", body, {"idempotency-key": "k"})
    again = call("POST", "/v1/chat", packed(body), {"idempotency-key": "k", "content-encoding": "gzip"})
    assert (again.status, again.body) == (first.status, first.body)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert texts(call) == ["a", "b"]
    assert call.metrics.value("intake_repeated_total", topic="chat") == 1


def test_a_key_with_other_records_is_refused_and_of_another_topic_is_not(call: Caller) -> None:
    assert call("POST", "/v1/chat", chat("a"), {"idempotency-key": "k"}).status == 200
    got = call("POST", "/v1/chat", chat("b"), {"idempotency-key": "k"})
    assert (got.status, got.json["field"]) == (409, "idempotency-key")
    assert call("POST", "/v1/viewer-events", event(), {"idempotency-key": "k"}).status == 200
    assert texts(call) == ["a"]


def test_a_key_is_forgotten_in_time(call: Caller) -> None:
    for _ in range(2):
        assert call("POST", "/v1/chat", chat("a"), {"idempotency-key": "k"}).status == 200
    call.clock.advance(IntakeConfig().keys_s * 1_000)
    assert call("POST", "/v1/chat", chat("a"), {"idempotency-key": "k"}).status == 200
    assert texts(call) == ["a", "a"]


@pytest.mark.parametrize("key", ["", " ", "k" * 256, "h\u00e9", "a\tb"])
def test_a_key_that_cannot_be_read_is_refused(call: Caller, key: str) -> None:
    got = call("POST", "/v1/chat", chat("a"), {"idempotency-key": key})
    assert (got.status, got.json["field"]) == (400, "idempotency-key")
    assert written(call, "chat") == []


def test_events_without_an_id_get_one_that_another_replica_would_give_them_too() -> None:
    body = array(event(), event(), event(id="mine"))
    ids = []
    for key in ("k", "k", "other"):
        call = Caller(max_body_bytes=2_000_000)
        assert call("POST", "/v1/viewer-events", body, {"idempotency-key": key}).status == 200
        ids.append([one.id for one in written(call, "viewer-events")])
    assert ids[0] == ids[1]
    assert ids[0][2] == ids[2][2] == "mine"
    assert len({*ids[0], *ids[2]}) == 5


def test_events_stay_without_an_id_where_the_request_has_no_key(call: Caller) -> None:
    assert call("POST", "/v1/viewer-events", event(), JSON).status == 200
    assert [one.id for one in written(call, "viewer-events")] == [""]


@pytest.mark.parametrize(
    ("enabled", "host", "status"),
    [
        *(("auto", "127.0.0.1", 200), ("auto", "localhost", 200), ("auto", "::1", 200), ("auto", "127.8.0.1", 200)),
        *(("auto", "0.0.0.0", 403), ("auto", "", 403), ("auto", "::", 403), ("auto", "live.example", 403)),
        *(("on", "0.0.0.0", 200), ("off", "127.0.0.1", 403)),
    ],
)
def test_records_are_taken_where_the_setting_says_so(enabled: Any, host: str, status: int) -> None:
    call = Caller(intake=IntakeConfig(enabled=enabled), host=host)
    got = call("POST", "/v1/chat", chat("a"), JSON)
    assert got.status == status
    if status == 403:
        assert "intake.enabled" in got.json["detail"]
        assert written(call, "chat") == []
    assert call("GET", "/v1/rooms").status == 200


@pytest.mark.parametrize(
    ("headers", "enabled", "status"),
    [
        ({"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"}, "auto", 200),
        ({"origin": "http://localhost:8000", "host": "localhost:8000"}, "auto", 200),
        ({"host": "[::1]:8000"}, "auto", 200),
        ({"origin": "https://evil.example", "host": "127.0.0.1:8000"}, "auto", 403),
        ({"origin": "null", "host": "127.0.0.1:8000"}, "auto", 403),
        ({"origin": "http://evil.example:8000", "host": "evil.example:8000"}, "auto", 403),  # a name bound anew
        ({"host": "evil.example:8000"}, "auto", 403),
        ({"host": "127.0.0.1.evil.example"}, "auto", 403),
        ({"host": "[broken"}, "auto", 403),
        ({"host": "live.example"}, "on", 200),
        ({"origin": "https://live.example", "host": "live.example"}, "on", 200),
        ({"origin": "https://evil.example", "host": "live.example"}, "on", 403),
        ({"origin": "https://[broken", "host": "live.example"}, "on", 403),
    ],
)
def test_a_web_page_of_elsewhere_cannot_write(headers: dict[str, str], enabled: Any, status: int) -> None:
    call = Caller(intake=IntakeConfig(enabled=enabled))
    assert call("POST", "/v1/chat", chat("a"), headers).status == status
    assert len(written(call, "chat")) == (status == 200)


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (TooManyWaiting("too many", may_be_written=False), 429, "nothing was written"),
        (NotTaken("Kafka is away", may_be_written=False), 503, "nothing was written"),
        (NotTaken("Kafka is slow", may_be_written=True), 503, "may be written"),
    ],
)
def test_what_is_not_acknowledged_says_whether_it_may_be_written(
    call: Caller, monkeypatch: pytest.MonkeyPatch, error: NotTaken, status: int, says: str
) -> None:
    async def take(*_: Any, **__: Any) -> Taken:
        raise error

    monkeypatch.setattr(call.intake, "take", take)
    got = call("POST", "/v1/chat", chat("a"), JSON)
    assert (got.status, got.headers["content-type"]) == (status, CONTENT_TYPE)
    assert got.json["may_be_written"] is error.may_be_written
    assert says in got.json["detail"]
    assert int(got.headers["retry-after"]) >= 1


def test_the_document_describes_bodies_headers_and_every_status(call: Caller) -> None:
    document = call("GET", "/openapi.json").json
    for topic in TAKEN:
        operation = document["paths"][f"/v1/{topic}"]["post"]
        content = operation["requestBody"]["content"]
        assert {"application/json", "application/x-ndjson"} <= content.keys()
        example = json.dumps(content["application/json"]["example"]).encode()
        lines = content["application/x-ndjson"]["example"].encode()
        for body, kind in ((example, "application/json"), (lines, "application/x-ndjson")):
            assert call("POST", f"/v1/{topic}", body, {"content-type": kind}).status == 200
        assert [one["name"] for one in operation["parameters"]] == ["Idempotency-Key"]
        statuses = {"200", "207", "400", "403", "408", "409", "413", "415", "422", "429", "503", "default"}
        assert set(operation["responses"]) == statuses


def test_a_streamer_is_no_key(call: Caller) -> None:
    """Rooms of a streamer lie where each room belongs."""
    sent = [RoomStarted(room=RoomId(f"r{n}"), streamer=StreamerId("s"), at_ms=AT_MS) for n in range(9)]
    assert call("POST", "/v1/rooms", array(*map(encode, sent)), JSON).status == 200
    assert {one.room for one in written(call, "rooms")} == {one.room for one in sent}
