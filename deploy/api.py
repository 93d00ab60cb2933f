"""Owns HTTP as ASGI: which route a request takes, body limits, errors. Never computes an answer.

Plain ASGI, because a framework costs the hot path as much as the answer itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from deploy.problem import CONTENT_TYPE, Problem, problem
from deploy.routes import Request, Response, Route
from streaming.errors import ConfigError, RequestError, UnknownRoom
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Where answers are served and by how many replicas."""

    host: str = "127.0.0.1"  # 0.0.0.0 lets everybody in who can reach the machine; there is no authentication
    port: int = 8000
    replicas: int = 2  # one answers while the other is replaced
    max_body_bytes: int = 262_144  # the longest legal request, 1,000 ids of 128 characters, is about 131,000
    ready_contact_s: float = 10.0  # without word from Kafka for so long, /readyz says no; answers go on

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65_535:
            raise ConfigError(f"http.port is {self.port}; a port lies between 1 and 65535")
        if self.replicas < 1:
            raise ConfigError(f"http.replicas is {self.replicas}; it must be at least 1")
        if self.max_body_bytes < 1_024:
            raise ConfigError(f"http.max_body_bytes is {self.max_body_bytes}; it must be at least 1024")
        if self.ready_contact_s <= 0:
            raise ConfigError(f"http.ready_contact_s is {self.ready_contact_s}; it must be greater than 0")

    @property
    def url(self) -> str:
        """Where a caller on this machine finds it."""
        return f"http://{'127.0.0.1' if self.host in ('0.0.0.0', '::') else self.host}:{self.port}"


class Api:
    """The ASGI application."""

    def __init__(
        self,
        routes: Sequence[Route],
        max_body_bytes: int,
        metrics: Metrics,
        has_read: Callable[[], bool] = lambda: True,
    ) -> None:
        """has_read: whether the tables were read to their end once; from half of them an ended room would be served."""
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._has_read = has_read
        self._encode = msgspec.json.Encoder().encode
        self._exact: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._exact.setdefault(route.path, {})[route.method] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:  # nothing here speaks WebSocket
            await receive()
            await send({"type": "websocket.close", "code": 1003})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        pattern, room = self._match(scope)
        try:
            response = await self._respond(scope, receive, pattern, room)
        except Exception:
            LOGGER.exception("%s %s failed", scope["method"], pattern)
            detail = "something went wrong here; it is in the log of the replica"
            response = self._wrong(problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail))
        await _send(send, response, with_body=scope["method"] != "HEAD")
        self._metrics.count("requests_total", route=pattern or "unknown", status=str(response.status))
        self._metrics.observe("request_seconds", time.perf_counter() - started_s, route=pattern or "unknown")

    async def _respond(self, scope: Scope, receive: Receive, pattern: str, room: str) -> Response:
        try:
            route = self._route(scope, pattern)
            request = Request(room, _parameters(scope), await self._body(receive))
            response = await asyncio.to_thread(route.handle, request) if route.blocking else route.handle(request)
            return response if isinstance(response, Response) else await response
        except _RefusedError as err:
            return self._wrong(err.problem)
        except RequestError as err:
            return self._wrong(problem(HTTPStatus.BAD_REQUEST, str(err), field=err.field, allowed=err.allowed))
        except UnknownRoom as err:
            return self._wrong(problem(HTTPStatus.NOT_FOUND, str(err), field="room", allowed="a room that is live"))

    def _route(self, scope: Scope, pattern: str) -> Route:
        methods = self._exact.get(pattern)
        if methods is None:
            detail = f"nothing is at {scope['path'][:200]}"
            raise _RefusedError(HTTPStatus.NOT_FOUND, detail, field="path", allowed=", ".join(self._exact))
        route = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if route is None:
            detail = f"{pattern} does not take {scope['method']}"
            raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, detail, field="method", allowed=", ".join(methods))
        if route.tables and not self._has_read():
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "this replica is still reading what is live; try again")
        return route

    def _match(self, scope: Scope) -> tuple[str, str]:
        """The route's pattern ("" for none) and the room in the path. An id may hold an escaped slash."""
        path = scope["path"]
        if path in self._exact:
            return path, ""
        raw = scope.get("raw_path") or path.encode()
        steps = raw.split(b"?")[0].decode("latin-1").split("/")
        for pattern in self._exact:
            wanted = pattern.split("/")
            if len(wanted) == len(steps) and all(w in (s, "{room}") for w, s in zip(wanted, steps, strict=True)):
                return pattern, next((unquote(s) for w, s in zip(wanted, steps, strict=True) if w == "{room}"), "")
        return "", ""

    async def _body(self, receive: Receive) -> bytes:
        body: bytes = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._max_body_bytes:
                detail, allowed = "the body is too large", f"at most {self._max_body_bytes} bytes"
                raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, field="", allowed=allowed)
            if not message.get("more_body"):
                return body

    def _wrong(self, what: Problem) -> Response:
        return Response(self._encode(what), CONTENT_TYPE, what.status)


class _RefusedError(Exception):
    """A request that does not reach a route's handler."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, field: str | None = None, allowed: str | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = problem(status, detail, field=field, allowed=allowed)


def _parameters(scope: Scope) -> Mapping[str, str]:
    query = scope.get("query_string")
    return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)) if query else {}


async def _send(send: Send, response: Response, *, with_body: bool) -> None:
    headers = [
        (b"content-type", response.content_type.encode()),
        (b"content-length", str(len(response.body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
