"""The routes that probes ask. Never judges a replica itself."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import msgspec

from deploy.http.openapi import Operation
from deploy.http.problem import CONTENT_TYPE, problem
from deploy.http.route import Request, Response, Route
from deploy.http.status import Readiness


def probe_routes(readiness: Callable[[], Readiness]) -> list[Route]:
    """The routes for liveness and readiness. readiness: gives that of this replica."""
    encode = msgspec.json.Encoder().encode

    def healthy(_: Request) -> Response:
        return Response(b'{"status":"up"}')

    def ready(_: Request) -> Response:
        now = readiness()
        if now.ready:
            return Response(encode(now))
        wrong = problem(HTTPStatus.SERVICE_UNAVAILABLE, now.reason)
        fields = {**msgspec.to_builtins(wrong), **msgspec.to_builtins(now)}  # RFC 9457 lets a problem have more fields
        return Response(encode(fields), CONTENT_TYPE, wrong.status)

    return [
        Route(
            "GET", "/healthz", healthy, Operation("health", "The process is up: for a liveness probe", dict[str, str])
        ),
        Route(
            "GET",
            "/readyz",
            ready,
            Operation(
                "readiness",
                "Whether its answers are good, and how far it is behind: for a readiness probe",
                Readiness,
                errors=(HTTPStatus.SERVICE_UNAVAILABLE,),
            ),
        ),
    ]
