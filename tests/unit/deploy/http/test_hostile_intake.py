"""Bodies that no honest producer sends: each is refused within its bounds, says why, and loses nothing else."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
import zlib
from typing import Any

import pytest

from actors.settings import IntakeConfig
from deploy.http.batch import Batches
from deploy.http.problem import CONTENT_TYPE, RefusedError
from streaming.log.log import Partition
from streaming.log.memory_log import MemoryLog
from tests.unit.deploy.http.called_api import JSON, Caller

AT_MS = 1_700_000_000_000
LINES = {"content-type": "application/x-ndjson"}
GZIP = {"content-encoding": "gzip"}
GOOD = b'{"type":"chat","room":"r","viewer":"w","text":"good","at_ms":%d}' % AT_MS
DEEP = b"[" * 10_000 + b"]" * 10_000


@pytest.fixture
def call() -> Caller:
    return Caller(max_body_bytes=2_000_000)


def texts(call: Caller) -> list[str]:
    assert isinstance(call.log, MemoryLog)
    lines = [line for index in range(2) for line in call.log.read(Partition("chat", index), 0, 100_000)]
    return [json.loads(line.value or b"")["text"] for line in lines]


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"", JSON, "empty"),
        (b" \r\n\t\n", LINES, "empty"),
        (b"\xef\xbb\xbf", JSON, "empty"),
        (b"", GZIP, "gzip"),
        (b"not gzip", GZIP, "not gzip"),
        (GOOD, GZIP, "not gzip"),
        (gzip.compress(GOOD)[:-9], GZIP, "in the middle"),
        (gzip.compress(GOOD)[:30], GZIP, "in the middle"),
        (gzip.compress(GOOD) + b"garbage", GZIP, "damaged"),
        (gzip.compress(GOOD)[:-8] + b"\0" * 8, GZIP, "damaged"),  # its checksum
        (zlib.compress(GOOD), GZIP, "not gzip"),
        (gzip.compress(b""), GZIP, "empty"),
        (gzip.compress(b"\n") * 101, GZIP, "streams"),
        (gzip.compress(gzip.compress(GOOD)), GZIP, "twice"),
        (gzip.compress(GOOD), JSON, "Content-Encoding"),
        (json.dumps([1]).encode("utf-16"), JSON, "UTF-16"),
        (json.dumps([1]).encode("utf-16-le"), JSON, "UTF-16"),
        (b"[" + GOOD, JSON, "in the middle"),
        (b"[" + GOOD + b',{"text":"', JSON, "in the middle"),
        (b"[" + GOOD + b',{"text":"\\', JSON, "in the middle"),
        (b"[" * 100_000, JSON, "in the middle"),
        (b"[" + GOOD + b"] garbage", JSON, "not as an array"),
        (b"[" + GOOD + b"]\n[" + GOOD + b"]", LINES, "not as an array"),
        (b"[" + GOOD + b"}", JSON, "not as an array"),
        (b'{"type":\n"chat",', JSON, "neither"),
        (GOOD + GOOD, JSON, "--data-binary"),
        (b"type=chat&room=r", {"content-type": "application/x-www-form-urlencoded"}, ""),
        (b"\xff\x00\xfe" * 100, JSON, "UTF-16"),
        (b"\xff\xfd\xfe" * 100, JSON, ""),
    ],
)
def test_a_body_that_cannot_be_read_is_a_problem_that_says_why(
    call: Caller, body: bytes, headers: dict[str, str], says: str
) -> None:
    got = call("POST", "/v1/chat", body, headers)
    assert got.status == (400 if says else 422)
    assert got.headers["content-type"] == CONTENT_TYPE
    assert says in got.json["detail"]
    assert got.json["allowed"]
    assert texts(call) == []


@pytest.mark.parametrize(
    "bad",
    [
        DEEP,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"type":"chat","room":"%s","viewer":"w","text":"","at_ms":%d}' % (b"r" * 1_000_000, AT_MS),
        b'{"type":"chat","room":"r\xff","viewer":"w","text":"","at_ms":%d}' % AT_MS,
        b'{"type":"chat","room":"\\ud800","viewer":"w","text":"","at_ms":%d}' % AT_MS,
        b'{"type":"chat","room":"r","viewer":"w","text":"","at_ms":NaN}',
        b'{"type":"chat","room":"r","viewer":"w","text":"","at_ms":1e999}',
        b'{"type":"chat","room":"r","viewer":"w","text":"","at_ms":%s}' % (b"9" * 5_000),
        b'{"type":"chat","room":"r","viewer":"w","text":"","at_ms":-1}',
        b'{"type":"chat","room":"r","viewer":"w","text":"","at_ms":%d,"v":99999999999999999999}' % AT_MS,
        b'{"type":"chat","room":"r","viewer":"w","text":"","at_ms":%d,"v":"one"}' % AT_MS,
        b'{"type":["chat"],"room":"r","viewer":"w","text":"","at_ms":%d}' % AT_MS,
        b'{"type":"chat","room":{"id":1},"viewer":"w","text":"","at_ms":%d}' % AT_MS,
        b'{"type":"started","room":"r","streamer":"s","at_ms":%d}' % AT_MS,
        b'{"type":"chat","room":"r","viewer":"w","text":"%s","at_ms":%d}' % (b"x" * 600_000, AT_MS),
        b'{"type":"chat" "room":"r"}',
        b"{}",
        b"[]",
        b"nonsense",
        b'"text"',
        b"-",
        b"\x00",
    ],
)
@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_hostile_record_is_refused_alone(call: Caller, bad: bytes, form: str) -> None:
    records = [GOOD, bad, GOOD]
    body = b"[" + b",".join(records) + b"]" if form == "array" else b"\r\n".join(records)
    got = call("POST", "/v1/chat", body, JSON if form == "array" else LINES)
    assert got.status == 207
    assert [verdict["accepted"] for verdict in got.json["verdicts"]] == [True, False, True]
    problem = got.json["verdicts"][1]["problem"]
    assert problem["detail"]
    assert problem["allowed"]
    assert len(got.body) < 2_000, "a problem does not quote a megabyte"
    assert texts(call) == ["good", "good"]


@pytest.mark.parametrize("between", [b",,", b", ,"])
def test_what_stands_between_two_commas_is_a_record_that_is_refused(call: Caller, between: bytes) -> None:
    got = call("POST", "/v1/chat", b"[" + GOOD + between + GOOD + b"]", JSON)
    assert [verdict["accepted"] for verdict in got.json["verdicts"]] == [True, False, True]


def test_trailing_garbage_of_lines_is_a_record_that_is_refused(call: Caller) -> None:
    got = call("POST", "/v1/chat", GOOD + b"\n" + GOOD + b"\n--boundary--", LINES)
    assert [verdict["accepted"] for verdict in got.json["verdicts"]] == [True, True, False]


def test_texts_with_brackets_and_commas_are_no_structure(call: Caller) -> None:
    text = ']},{"[,\\' + "," * 5_000
    record = json.dumps({"type": "chat", "room": "r", "viewer": "w", "text": text, "at_ms": AT_MS}).encode()
    small = Caller(max_body_bytes=2_000_000, intake=IntakeConfig(max_records=3))  # so few that commas are too many
    for caller in (call, small):
        assert caller("POST", "/v1/chat", b"[" + record + b",{]}, " + GOOD + b"]", JSON).status == 400
        got = caller("POST", "/v1/chat", b"[" + record + b",\\ud800 , " + GOOD + b"]", JSON)
        assert [verdict["accepted"] for verdict in got.json["verdicts"]] == [True, False, True]
        assert texts(caller) == [text, "good"]


@pytest.mark.parametrize("record", [b"1", b"{}", b'""', b"null", GOOD])
@pytest.mark.parametrize("form", ["array", "lines"])
def test_too_many_records_are_refused_as_a_whole(call: Caller, record: bytes, form: str) -> None:
    call = Caller(max_body_bytes=2_000_000, intake=IntakeConfig(max_records=100))
    for count, status in ((100, None), (101, 413)):
        records = [record] * count
        body = b"[" + b",".join(records) + b"]" if form == "array" else b"\n".join(records)
        got = call("POST", "/v1/chat", body, JSON if form == "array" else LINES)
        assert got.status == (status or (200 if record == GOOD else 422))
    assert "intake.max_records" in got.json["allowed"]
    assert len(texts(call)) == (100 if record == GOOD else 0)


def peak_mb(values: Any) -> float:
    """The memory that a refused body takes beside itself, in megabytes."""
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError) as refused:
            values()
        assert refused.value.problem.status == 413
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_a_gzip_bomb_is_never_inflated_whole() -> None:
    maker = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([maker.compress(b" " * 10_000_000) for _ in range(20)]) + maker.flush()
    assert len(bomb) < 2_000_000
    batches = Batches(10_000, 1_000_000)
    assert peak_mb(lambda: batches.values(bomb, packed=True, lines=False)) < 5


def test_a_bomb_of_many_streams_is_never_inflated_whole() -> None:
    bomb = gzip.compress(b" " * 900_000) * 50
    batches = Batches(10_000, 1_000_000)
    assert peak_mb(lambda: batches.values(bomb, packed=True, lines=False)) < 5


@pytest.mark.parametrize("value", [b"1,", b"[],", b"{},", b'"",', b'"\\"",', b"[[],[]],", b"1\n", b"{}\n"])
def test_a_bomb_of_small_values_is_never_cut_out_whole(value: bytes) -> None:
    body = value * (4_000_000 // len(value))
    lines = body.endswith(b"\n")
    batches = Batches(1_000, 8_000_000)
    whole = body if lines else b"[" + body + b"1]"
    assert peak_mb(lambda: batches.values(whole, packed=False, lines=lines)) < 12


def test_a_body_of_a_gigabyte_is_refused_unread(call: Caller) -> None:
    got = call("POST", "/v1/chat", b"", {**JSON, "content-length": str(1 << 30)}, ends="never")
    assert got.status == 413
    assert call("POST", "/v1/chat", b"x" * 2_000_001, JSON).status == 413


@pytest.mark.parametrize(
    ("header", "value", "allowed"),
    [
        *[("content-encoding", value, "gzip") for value in ("br", "zstd", "deflate", "gzip, gzip", "identity, gzip")],
        *[("content-type", value, "application/x-ndjson") for value in ("text/plain", "text/csv", "application/xml")],
        ("content-type", "application/json; charset=latin-1", "UTF-8"),
        ("content-type", "multipart/form-data; boundary=x", "application/json"),
    ],
)
def test_other_types_and_encodings_are_refused_by_name(call: Caller, header: str, value: str, allowed: str) -> None:
    got = call("POST", "/v1/chat", GOOD, {header: value})
    assert (got.status, got.json["field"]) == (415, header)
    assert allowed in got.json["allowed"]


def test_random_damage_to_a_batch_is_never_an_error_of_ours(call: Caller) -> None:
    rng = random.Random(1)
    whole = b"[" + b",".join([GOOD] * 20) + b"]"
    for _ in range(400):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(body))
            cut = rng.choice((0, 1, 1, 50))
            body[place : place + cut] = bytes(rng.choices(b'[]{},:"\\\n\x00\xff1e', k=rng.randint(0, 3)))
        got = call("POST", "/v1/chat", bytes(body), rng.choice((JSON, LINES, {})))
        assert got.status in (200, 207, 400, 422), bytes(body)
        if "accepted" in got.json:
            assert got.json["accepted"] + got.json["refused"] == len(got.json["verdicts"])
