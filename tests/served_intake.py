"""The routes that take records on a real server, for tests and benches: uvicorn, the whole ASGI application, a log."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn

from actors.intake.intake import Intake
from actors.settings import IntakeConfig
from deploy.http.api import Api
from deploy.http.openapi import Operation
from deploy.http.route import Response, Route
from deploy.http.routes.intake import intake_routes
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.metrics import Metrics
from streaming.ports import free_port

PATIENCE_S = 30.0
MAX_BODY_BYTES = 2_097_152


@dataclass(frozen=True)
class Answer:
    """What a server has answered."""

    status: int
    headers: Mapping[str, str]
    json: Any


def server_of(log: KafkaLog, config: IntakeConfig, metrics: Metrics, port: int) -> tuple[uvicorn.Server, Intake]:
    """A server that is not started yet."""
    intake = Intake(log, config, SystemClock(), metrics)
    probe = Route("GET", "/healthz", lambda _: Response(b'{"status":"up"}'), Operation("health", "It is up", None))
    api = Api([*intake_routes(intake, config, "127.0.0.1"), probe], MAX_BODY_BYTES, metrics)
    return uvicorn.Server(uvicorn.Config(api, port=port, log_level="critical", lifespan="off", ws="none")), intake


@contextlib.contextmanager
def served(log: KafkaLog, config: IntakeConfig, metrics: Metrics) -> Iterator[int]:
    """A server in a thread of this process. Yields its port."""
    port = free_port()
    server, intake = server_of(log, config, metrics, port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline_s = time.monotonic() + PATIENCE_S
    while not server.started:
        assert time.monotonic() < deadline_s, "the server does not start"
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        intake.stop(PATIENCE_S)


def post(port: int, topic: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """Posts a body on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", f"/v1/{topic}", body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(response.read()))
