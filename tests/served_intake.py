"""The routes that take records on a real server, for tests and benches: uvicorn, the whole ASGI application, a log."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from actors.intake.intake import Intake
from actors.settings import IntakeConfig
from deploy.http.api import Api
from deploy.http.openapi import Operation
from deploy.http.route import Response, Route
from deploy.http.routes.intake import intake_routes
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.metrics import Metrics
from tests import served_api

PATIENCE_S = 30.0
MAX_BODY_BYTES = 2_097_152


@dataclass(frozen=True)
class Answer:
    """What a server has answered."""

    status: int
    headers: Mapping[str, str]
    json: Any


def api_of(intake: Intake, config: IntakeConfig, metrics: Metrics) -> Api:
    """The application with the routes that take records, and a probe."""
    probe = Route("GET", "/healthz", lambda _: Response(b'{"status":"up"}'), Operation("health", "It is up", None))
    return Api([*intake_routes(intake, config, "127.0.0.1"), probe], MAX_BODY_BYTES, metrics)


@contextlib.contextmanager
def served(log: KafkaLog, config: IntakeConfig, metrics: Metrics) -> Iterator[int]:
    """A server in a thread of this process. Yields its port."""
    intake = Intake(log, config, SystemClock(), metrics)
    try:
        with served_api.served(api_of(intake, config, metrics)) as port:
            yield port
    finally:
        intake.stop(PATIENCE_S)


def post(port: int, topic: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """Posts a body on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", f"/v1/{topic}", body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(response.read()))
