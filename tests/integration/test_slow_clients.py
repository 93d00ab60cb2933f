"""Callers who send slowly, or not to the end, or nonsense: others are answered, and every error is a problem.

The real HAProxy as Serve starts it, with the real Api behind it; and the Api alone, in the server that Serve has.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.config.proxy_limits import ProxyLimits
from deploy.http.api import Api
from deploy.http.routes.public import routes
from streaming.metrics import MemoryMetrics
from tests.served_api import served
from tests.served_proxy import proxy
from tests.unit.deploy.http.called_api import READY, FakeAnswers, behind

HALF_OPEN = 500
TIMEOUT_S = 2.0
LIMITS = ProxyLimits(max_connections=2_000, max_connections_per_source=1_000, request_timeout_s=TIMEOUT_S)
ASK = b'{"viewer":"v"}'
HEAD = b"POST /v1/recommend HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
PATIENCE_S = 30.0


class Checked:
    """An Api that also says that it is well, as Serve's replicas do for it: HAProxy asks."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/-/healthz":
            await self._api(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def app() -> Iterator[int]:
    """The port of an Api with answers of its own."""
    table = routes(behind(FakeAnswers()), lambda: READY)
    api = Api(table, 2_000_000, MemoryMetrics(), request_timeout_s=TIMEOUT_S)
    with served(Checked(api)) as port:
        yield port


@pytest.fixture(scope="module")
def proxied(app: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with proxy(tmp_path_factory.mktemp("proxy"), [app], LIMITS) as port:
        yield port


@pytest.fixture(params=["proxied", "app"])
def port(request: pytest.FixtureRequest) -> int:
    """Through HAProxy, and without it."""
    return int(request.getfixturevalue(request.param))


def ask(port: int, source: str = "127.0.0.1") -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S, source_address=(source, 0))
    with contextlib.closing(connection):
        connection.request("POST", "/v1/recommend", ASK, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@contextlib.contextmanager
def many(port: int, count: int, begins: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S)) for _ in range(count)]
        for connection in opened:
            connection.sendall(begins)
        yield opened


def raw(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What is answered to these bytes, which need not be HTTP."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(request)
        return answer_on(connection)


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def is_cut_off(connection: socket.socket) -> bool:
    """Waits for it, longer than HAProxy bears a silent client. Bytes that nobody has read make a reset of it."""
    connection.settimeout(2 * PATIENCE_S)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


BEGINNINGS = {
    "nothing": b"",
    "half a head": HEAD,
    "no body": HEAD + b"content-length: 100\r\n\r\n",
    "half a body": HEAD + b"content-length: 100\r\n\r\n{",
    "half a large body": HEAD + b"content-length: 900000\r\n\r\n" + b" " * 40_000,
    "half a chunk": HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n  ",
}


@pytest.mark.parametrize("begins", list(BEGINNINGS))
def test_five_hundred_who_do_not_go_on_leave_others_answered(port: int, begins: str) -> None:
    with many(port, HALF_OPEN, BEGINNINGS[begins]):
        assert ask(port)[0] == 200
        assert ask(port, "127.0.0.2")[0] == 200
    assert ask(port)[0] == 200


@pytest.mark.parametrize("begins", ["half a head", "half a body", "half a large body", "half a chunk"])
def test_who_does_not_go_on_is_told_so_in_time_and_cut_off(proxied: int, begins: str) -> None:
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", proxied), PATIENCE_S) as connection:
        connection.sendall(BEGINNINGS[begins])
        status, headers, body = answer_on(connection)
        assert is_cut_off(connection)
    assert time.monotonic() - began_s >= TIMEOUT_S * 0.9
    assert (status, headers["content-type"], json.loads(body)["status"]) == (408, "application/problem+json", 408)


def test_a_body_a_byte_at_a_time_has_the_same_deadline(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.sendall(HEAD + b"content-length: 1000\r\n\r\n")
        connection.settimeout(0.1)
        deadline, got = time.monotonic() + PATIENCE_S, b""
        while not got:
            assert time.monotonic() < deadline, "it may go on for ever"
            with contextlib.suppress(TimeoutError):
                connection.sendall(b" ")
                got = connection.recv(4_096)
    assert got.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in got


def test_one_address_is_refused_beyond_its_bound_and_others_are_not(app: int, tmp_path: Path) -> None:
    few = ProxyLimits(max_connections=400, max_connections_per_source=40, request_timeout_s=PATIENCE_S)
    with proxy(tmp_path, [app], few) as port, many(port, 45, b""):
        deadline = time.monotonic() + PATIENCE_S
        while (found := ask(port))[0] == 200:  # what is connected is not counted before it is accepted
            assert time.monotonic() < deadline, "nobody is refused"
        status, problem = found
        assert (status, problem["status"]) == (429, 429)
        assert "http.max_connections_per_source" in problem["detail"]
        assert ask(port, "127.0.0.2")[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v1/rooms\r\n\r\n", 400),
        (b"GET /v1/ro oms HTTP/1.1\r\n\r\n", 400),
        (b"GET /v1/rooms HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"GET /v1/rooms HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", 400),
        (b"GET /v1/rooms?language=\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /v1/rooms?limit=1&limit=2 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (b"PATCH /v1/rooms HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", 405),
        (HEAD.replace(b"application/json", b"text/xml") + b"content-length: 2\r\n\r\n{}", 415),
        (HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", 415),
        (HEAD + b"content-length: 9999999\r\n\r\n", 413),
        (HEAD + b"content-length: 2147483700\r\n\r\n", 413),  # beyond 31 bits
        (HEAD + b"content-length: 9223372036854775807\r\n\r\n", 413),
        (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 422),
        (b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n", 501),
        (b"GET * HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    ],
)
def test_every_error_is_a_problem_whoever_says_it(proxied: int, request_: bytes, status: int) -> None:
    got, headers, body = raw(proxied, request_)
    assert (got, headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize("path", ["/healthz", "/v1/rooms", "/-/healthz"])
def test_without_a_replica_it_is_a_problem_to_come_back_with(tmp_path: Path, path: str) -> None:
    with proxy(tmp_path, [], LIMITS) as port:
        status, headers, body = raw(port, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    if path != "/-/healthz":
        assert (status, headers["retry-after"], json.loads(body)["status"]) == (503, "1", 503)
    assert status == 200 or headers["content-type"] == "application/problem+json"


def test_the_legal_largest_request_passes(port: int) -> None:
    longest = r"\ud83d\ude02" * 128
    exclude = ",".join([f'"{longest}"'] * 1_000)
    body = f'{{"viewer":"{longest}","exclude":[{exclude}]}}'.encode()
    assert len(body) > 1_500_000
    head = HEAD + f"content-length: {len(body)}\r\n\r\n".encode()
    assert raw(port, head + body)[0] == 200


def test_head_and_options_say_what_there_is_without_a_body(proxied: int) -> None:
    status, headers, body = raw(proxied, b"OPTIONS /v1/recommend HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (status, headers["allow"], body) == (204, "POST, OPTIONS", b"")
    status, headers, body = raw(proxied, b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (status, headers["allow"], body) == (204, "POST, GET, HEAD, OPTIONS", b"")
    connection = http.client.HTTPConnection("127.0.0.1", proxied, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        for path, wanted in (("/healthz", 200), ("/nowhere", 404), ("/v1/recommend", 405), ("/healthz", 200)):
            connection.request("HEAD", path)
            response = connection.getresponse()
            assert (response.status, response.read()) == (wanted, b"")
