"""Tests of request ids: one on every answer, the caller's where it is valid, the same in header, body and log."""

from __future__ import annotations

import json
import logging
import re

import pytest

from deploy.http.requests.request_id import MAX_LENGTH
from deploy.http.requests.slow_requests import EVERY_S, SlowRequests
from tests.unit.deploy.http.called_api import Caller

OWN = re.compile(r"[0-9a-f]{32}")
VIEWER = b'{"viewer": "v"}'


@pytest.fixture
def call() -> Caller:
    return Caller()


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("POST", "/v1/recommend", VIEWER, 200),
        ("POST", "/v1/recommend:batch", b'{"queries":[{"viewer":"a"}]}', 200),
        ("POST", "/v1/rank", b'{"viewer":"v","rooms":["a"]}', 200),
        ("GET", "/v1/rooms/r/similar", b"", 200),
        ("GET", "/v1/trending", b"", 200),
        ("GET", "/v1/rooms/r", b"", 404),
        ("POST", "/v1/recommend", b"{}", 400),
        ("GET", "/nowhere", b"", 404),
        ("DELETE", "/v1/recommend", b"", 405),
        ("GET", "/readyz", b"", 200),
    ],
)
def test_every_answer_has_an_id_of_its_own_and_a_problem_has_too(
    call: Caller, method: str, target: str, body: bytes, status: int
) -> None:
    first, second = (call(method, target, body) for _ in range(2))
    assert (first.status, second.status) == (status, status)
    ids = [got.headers["x-request-id"] for got in (first, second)]
    assert all(map(OWN.fullmatch, ids))
    assert ids[0] != ids[1]


@pytest.mark.parametrize(("target", "body"), [("recommend", VIEWER), ("rank", b'{"viewer":"v","rooms":["a"]}')])
def test_header_and_body_have_the_callers_id(call: Caller, target: str, body: bytes) -> None:
    got = call("POST", f"/v1/{target}", body, {"x-request-id": "Root=1-67:a_b~c/d+e@f.g"})
    assert got.headers["x-request-id"] == got.json["request_id"] == "Root=1-67:a_b~c/d+e@f.g"


@pytest.mark.parametrize(
    "wrong", ["", "a b", 'a"b', "a\\b", "a;b", "é", "x" * (MAX_LENGTH + 1)], ids=[*"abcdef", "long"]
)
def test_an_id_that_is_not_valid_is_ignored(call: Caller, wrong: str) -> None:
    got = call("POST", "/v1/recommend", VIEWER, {"x-request-id": wrong})
    assert OWN.fullmatch(got.json["request_id"])
    assert got.headers["x-request-id"] == got.json["request_id"]


def test_each_answer_of_a_batch_has_the_requests_id_with_its_place(call: Caller) -> None:
    queries = {"queries": [{"viewer": "a"}, {"limit": 0}, {"viewer": "b"}]}
    got = call("POST", "/v1/recommend:batch", json.dumps(queries).encode(), {"x-request-id": "q"})
    assert [one["answer"]["request_id"] for one in got.json["results"] if "answer" in one] == ["q.0", "q.2"]
    assert got.headers["x-request-id"] == "q"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_stream_has_the_callers_id_or_one_of_its_own(call: Caller, method: str) -> None:
    got, other = (call(method, "/v1/stream/v", headers={"x-request-id": given}, ends="stays") for given in ("q", "a b"))
    assert (got.status, got.headers["x-request-id"]) == (200, "q")
    assert OWN.fullmatch(other.headers["x-request-id"])


def test_the_log_line_of_a_bug_names_the_request(call: Caller, caplog: pytest.LogCaptureFixture) -> None:
    call("POST", "/v1/recommend", b'{"viewer":"breaks"}', {"x-request-id": "of-a-bug"})
    call("POST", "/v1/recommend:batch", b'{"queries":[{"viewer":"breaks"}]}', {"x-request-id": "of-a-batch"})
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "POST /v1/recommend failed, request of-a-bug",
        "a query of a batch failed, request of-a-batch.0",
    ]


def test_a_slow_request_is_logged_with_its_id_a_line_a_second_at_most(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 10.0
    slow = SlowRequests(0.5, lambda: now_s)
    slow.note("POST", "/v1/recommend", "fast", 0.49)
    slow.note("POST", "/v1/recommend", "first", 0.75)
    for number in range(3):
        slow.note("POST", "/v1/recommend", f"left-out-{number}", 2.0)
    now_s += EVERY_S
    slow.note("GET", "/v1/rooms", "next", 1.0)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "POST /v1/recommend took 750 ms, request first"),
        (logging.WARNING, "GET /v1/rooms took 1000 ms, request next, and 3 more since the line before"),
    ]


def test_with_no_bound_nothing_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    SlowRequests(0.0).note("GET", "/v1/rooms", "q", 1e9)
    assert not caplog.records
