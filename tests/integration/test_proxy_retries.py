"""Tests that what a killed replica had in hand is answered by another. On the real HAProxy, with servers of our own."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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


def test_a_request_in_the_hands_of_a_killed_replica_is_answered_by_another(tmp_path: Path) -> None:
    with server(Replica) as well, server(Killed) as killed, proxy(tmp_path, (well, killed), ProxyLimits()) as port:
        for _ in range(12):
            url = f"http://127.0.0.1:{port}/v1/recommend"
            with urllib.request.urlopen(urllib.request.Request(url, BODY), timeout=10) as answer:
                assert answer.status == 200
                assert answer.read() == BODY
    assert Killed.asked > 0, "nobody asked the replica that was killed: the test shows nothing"
