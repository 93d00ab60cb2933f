"""Tests of whether a system on another's cluster still counts as running: only while it answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from deploy.config.settings import Settings
from deploy.http.status import Readiness
from deploy.local.system import Running, System
from streaming.errors import TidecastError
from streaming.machine.ports import free_port

READY = Readiness(ready=True, reason="", lag={}, contact_age_s=0.1, live_rooms=1)


class Answers(BaseHTTPRequestHandler):
    """The system, as far as `up` asks it."""

    def do_GET(self) -> None:
        body = msgspec.json.encode(READY)
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Of a system that answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def on_a_cluster(folder: Path, port: int) -> System:
    """A system that `tidecast up --address` has started, by what it wrote down."""
    running = Running(
        url=f"http://127.0.0.1:{port}",
        bootstrap_servers="10.0.0.9:9092",
        ray_address="10.0.0.5:6379",
        ray_folder="",
        kafka_started=False,
        started_at_ms=0,
    )
    (folder / "run.json").write_bytes(msgspec.json.encode(running))
    return System(Settings(), folder)


def test_one_whose_cluster_has_died_is_not_in_the_way_of_a_new_start(tmp_path: Path) -> None:
    system = on_a_cluster(tmp_path, free_port())
    assert system.living() is None
    system.require_none()


def test_one_that_answers_is(tmp_path: Path, port: int) -> None:
    system = on_a_cluster(tmp_path, port)
    assert system.living() == system.running()
    with pytest.raises(TidecastError, match="runs already"):
        system.require_none()
