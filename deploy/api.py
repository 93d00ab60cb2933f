"""Owns HTTP as ASGI: which route a request takes, body limits, errors. Never computes an answer.

Plain ASGI, because a framework costs the hot path as much as the answer itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from deploy.http_body import CLOSE, Bodies
from deploy.problem import CONTENT_TYPE, Problem, RefusedError, problem
from deploy.routes import Request, Response, Route
from streaming.errors import RequestError, UnknownRoom
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

DATA = "/v1/"  # below it a parameter that means nothing is an error; to a probe anything may be appended
ADMIN_PATHS = ("/metrics", "/v1/status")  # deploy/admin.py
MAX_PARAMETERS = 100

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Api:
    """The ASGI application."""

    def __init__(
        self,
        routes: Sequence[Route],
        max_body_bytes: int,
        metrics: Metrics,
        has_read: Callable[[], bool] = lambda: True,
        *,
        request_timeout_s: float = 10.0,
    ) -> None:
        """has_read: whether the tables were read to their end once; from half of them an ended room would be served.

        request_timeout_s: for a body to arrive.
        """
        self._metrics = metrics
        self._bodies = Bodies(max_body_bytes, request_timeout_s)
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
            if isinstance(route, Response):
                return route
            parameters = _parameters(scope)
            if parameters and not route.operation.parameters and pattern.startswith(DATA):
                self._refuse_parameters(pattern, parameters)
            if route.operation.body is not None:
                self._bodies.check_headers(scope.get("headers", ()))
            request = Request(room, parameters, await self._bodies.read(receive))
            response = await asyncio.to_thread(route.handle, request) if route.blocking else route.handle(request)
            return response if isinstance(response, Response) else await response
        except RefusedError as err:
            return self._wrong(err.problem, err.headers)
        except RequestError as err:
            return self._wrong(problem(HTTPStatus.BAD_REQUEST, str(err), field=err.field, allowed=err.allowed))
        except UnknownRoom as err:
            return self._wrong(problem(HTTPStatus.NOT_FOUND, str(err), field="room", allowed="a room that is live"))

    def _route(self, scope: Scope, pattern: str) -> Route | Response:
        """The route, or at once the answer to OPTIONS. Raises RefusedError."""
        methods = self._exact.get(pattern)
        if methods is None and scope["method"] == "OPTIONS" and scope["path"] == "*":
            methods = {route.method: route for routes in self._exact.values() for route in routes.values()}
        if methods is None:
            elsewhere = ": it is at a port of its own, http.admin_port" if scope["path"] in ADMIN_PATHS else ""
            detail = f"nothing is at {scope['path'][:200]}{elsewhere}"
            raise RefusedError(HTTPStatus.NOT_FOUND, detail, field="path", allowed=", ".join(self._exact))
        route = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if route is None:
            allow = [*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"]
            header = (b"allow", ", ".join(allow).encode())
            if scope["method"] == "OPTIONS":
                return Response(b"", status=HTTPStatus.NO_CONTENT.value, headers=(header,))
            detail = f"{pattern} does not take {scope['method'][:40]}"
            allowed = ", ".join(methods)
            raise RefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED, detail, field="method", allowed=allowed, headers=(header, *CLOSE)
            )
        if route.tables and not self._has_read():
            detail = "this replica is still reading what is live; try again"
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=((b"retry-after", b"1"),))
        return route

    def _refuse_parameters(self, pattern: str, parameters: Mapping[str, str]) -> None:
        name = next(iter(parameters))
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, f"{pattern} takes no parameter {name[:80]!r}", field=name[:80], allowed="none"
        )

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

    def _wrong(self, what: Problem, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
        return Response(self._encode(what), CONTENT_TYPE, what.status, headers)


def _parameters(scope: Scope) -> Mapping[str, str]:
    """Of the query string. Raises RefusedError: one stands there twice, or it is not UTF-8."""
    query = scope.get("query_string")
    if not query:
        return {}
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError as err:  # UnicodeDecodeError is one
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            f"the query string cannot be read: {err}",
            field="",
            allowed=f"at most {MAX_PARAMETERS} parameters, in UTF-8",
        ) from err
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)[:80]
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name!r} stands there twice", field=name, allowed="once")
    return found


async def _send(send: Send, response: Response, *, with_body: bool) -> None:
    headers = list(response.headers)
    if all(name != b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", b"no-store"))
    if response.status != HTTPStatus.NO_CONTENT:
        headers += [
            (b"content-type", response.content_type.encode()),
            (b"content-length", str(len(response.body)).encode()),
        ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body if with_body else b""})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
