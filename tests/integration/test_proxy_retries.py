"""Tests that what a killed replica had in hand is asked of another if it reads, never if it writes.

On the real HAProxy, with servers of our own.
"""

from __future__ import annotations

import contextlib
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.config.proxy_limits import ProxyLimits
from tests.served_proxy import proxy

BODY = b'{"viewer": "viewer-1"}'


class Replica(BaseHTTPRequestHandler):
    """Answers with the body that it is sent."""

    def do_GET(self) -> None:
        self._answer(b"{}")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Named(Replica):
    """Answers with its port."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(b"%d" % self.server.server_address[1])  # type: ignore[misc]


class Killed(Replica):
    """Is killed while it works on a request: it was read, and the connection ends. Probes are answered."""

    asked = 0

    def do_POST(self) -> None:
        Killed.asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        self.close_connection = True


@contextmanager
def server(kind: type[Replica]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_address[1]
        running.shutdown()


def ask(port: int, path: str) -> int:
    """The status of the answer."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", BODY)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.read() == BODY
            return int(answer.status)
    except urllib.error.HTTPError as err:
        with err:
            return err.code


def test_a_request_in_the_hands_of_a_killed_replica_is_answered_by_another(tmp_path: Path) -> None:
    Killed.asked = 0
    with server(Replica) as well, server(Killed) as killed, proxy(tmp_path, (well, killed), ProxyLimits()) as port:
        assert [ask(port, "/v1/recommend") for _ in range(12)] == [200] * 12
    assert Killed.asked > 0, "nobody asked the replica that was killed: the test shows nothing"


@pytest.mark.parametrize("path", ["/v1/rooms", "/v1/chat", "/v1/viewer-events", "/v1/whatever-comes-later"])
def test_what_writes_is_not_asked_of_another_replica_for_the_killed_one_may_have_written_it(
    tmp_path: Path, path: str
) -> None:
    Killed.asked = 0
    with server(Replica) as well, server(Killed) as killed, proxy(tmp_path, (well, killed), ProxyLimits()) as port:
        statuses = [ask(port, path) for _ in range(12)]
    assert Killed.asked > 0, "nobody asked the replica that was killed: the test shows nothing"
    assert statuses.count(502) == Killed.asked
    assert statuses.count(200) == 12 - Killed.asked


def test_a_write_is_asked_of_another_replica_where_the_first_was_not_reached(tmp_path: Path) -> None:
    with server(Replica) as gone:
        pass
    with server(Replica) as well, proxy(tmp_path, (well, gone), ProxyLimits()) as port:
        assert [ask(port, "/v1/chat") for _ in range(12)] == [200] * 12


def named(port: int, key: str) -> str:
    """The replica that answers."""
    headers = {"Idempotency-Key": key} if key else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat", BODY, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_repeated_key_is_asked_of_the_replica_that_has_answered_it_while_it_lives(tmp_path: Path) -> None:
    with server(Named) as one, contextlib.ExitStack() as stack:
        other = stack.enter_context(server(Named))
        with proxy(tmp_path, (one, other), ProxyLimits()) as port:
            first = {key: named(port, key) for key in map(str, range(40))}
            assert set(first.values()) == {str(one), str(other)}, "keys are spread"
            assert all(named(port, key) == replica for key, replica in first.items() for _ in range(3))
            assert len({named(port, "") for _ in range(20)}) == 2, "without one nothing is kept"
            stack.close()
            assert {named(port, key) for key in first} == {str(one)}
