"""The ASGI application of a port. Starlette finds the route, a handler answers, an error becomes an RFC 9457 problem.

The most frequent routes go past Starlette's router and its request and response: `tests.bench.http` prints what that
saves. The HTTP server of a replica asks for their answers without ASGI (`at_once`, called by
deploy/ray/direct_answers.py). Never computes an answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
from starlette import responses
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.routing import Route as HttpRoute

from deploy.http.access import Access
from deploy.http.body import CLOSE, Bodies
from deploy.http.cors import Cors
from deploy.http.problem import CONTENT_TYPE, Problem, RefusedError, problem
from deploy.http.requests.request_id import HEADER, IdOfRequest
from deploy.http.requests.slow_requests import SlowRequests
from deploy.http.route import Request, Response, Route, Streamed, Whole, Write
from streaming.errors import RequestError, UnknownRoom, UnknownViewer
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

DATA = "/v1/"  # below it an unknown parameter is an error; a probe may have any
ADMIN_PATHS = ("/metrics", "/v1/status")  # deploy/http/admin.py
MAX_PARAMETERS = 100
NO_STORE = (b"cache-control", b"no-store")
CHECKED = "tidecast.checked"  # in a scope: the request that `at_once` has checked already

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Api:
    """The ASGI application of a port."""

    def __init__(
        self,
        routes: Sequence[Route],
        max_body_bytes: int,
        metrics: Metrics,
        has_read: Callable[[], bool] = lambda: True,
        *,
        request_timeout_s: float = 10.0,
        slow_request_s: float = 0.0,
        access: Access | None = None,
        cors_origins: Sequence[str] = (),
    ) -> None:
        """has_read: whether the tables were read to their end once; half of them could serve an ended room.

        request_timeout_s: for a body to arrive. slow_request_s: from so long on a request is logged; 0: none is.
        access: checks callers; None: everybody may do everything.
        cors_origins: of web pages whose scripts may read answers.
        """
        self._access = access
        self._cors = Cors(cors_origins) if cors_origins else None
        self._metrics = metrics
        self._bodies = Bodies(max_body_bytes, request_timeout_s)
        self._has_read = has_read
        self._ids = IdOfRequest()
        self._slow = SlowRequests(slow_request_s)
        self._encode = msgspec.json.Encoder().encode
        self._direct = {(route.method, route.path): route for route in routes if route.direct}
        self._methods: dict[str, list[str]] = {}
        self._path_of: dict[Any, str] = {}  # by Starlette's endpoint
        for route in routes:
            self._methods.setdefault(route.path, []).append(route.method)
        self._app = Starlette(
            routes=[self._routed(route) for route in routes], exception_handlers={HTTPException: self._refused}
        )
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._cors is not None:
            send = _with_headers(send, self._cors.headers(scope.get("headers", ())))
        started_s = time.perf_counter()
        checked: Request | None = scope.get(CHECKED)
        scope["request_id"] = self._ids.of(scope.get("headers", ())) if checked is None else checked.id
        route = self._direct.get((scope["method"], scope["path"]))
        if route is None:
            scope["started_s"] = started_s
            scope["path"] = self._undecoded(scope)
            await self._app(scope, receive, send)
            return
        response = await self._respond(route, scope, receive, {})
        await _send(send, response, scope["request_id"])
        self._count(route.path, response.status, started_s)

    @property
    def direct(self) -> Sequence[tuple[str, str]]:
        """Method and path of each route that `at_once` answers."""
        return [named for named, route in self._direct.items() if not route.blocking]

    def at_once(self, scope: Scope, body: bytes) -> Whole | None:
        """The answer to a request for a direct route that is there in full, byte for byte that of `__call__`.

        Its headers give the length of the body, or it has none.

        None where the handler has to wait: the scope is then for `__call__`, which goes on from there.
        """
        started_s = time.perf_counter()
        headers = scope["headers"]
        request_id = scope["request_id"] = self._ids.of(headers)
        route = self._direct[scope["method"], scope["path"]]
        try:
            parameters = self._checked(route, scope)
            request = Request({}, parameters, body, headers, scope["key"], request_id)
            began_s = time.perf_counter()
            try:
                response = route.handle(request)
            finally:
                self._slow.note(route.method, route.path, request_id, time.perf_counter() - began_s)
            if not isinstance(response, Response):
                if isinstance(response, Coroutine):
                    response.close()  # it has not begun; `__call__` asks the handler for another
                scope[CHECKED] = request
                return None
        except Exception as err:
            response = self._explained(err, route, scope)
        sent = _headers(response, request_id)
        if self._cors is not None:
            sent += self._cors.headers(headers)
        self._count(route.path, response.status, started_s)
        return Whole(response.status, sent, response.body)

    def _routed(self, route: Route) -> HttpRoute:
        """The route as a Starlette route."""

        async def endpoint(request: HttpRequest) -> responses.Response:
            path = {name: unquote(value) for name, value in request.path_params.items()}
            response = await self._respond(route, request.scope, request.receive, path)
            return self._sent(request, response, route.path)

        self._path_of[endpoint] = route.path
        return HttpRoute(route.path, endpoint, methods=[route.method])

    def _undecoded(self, scope: Scope) -> str:
        """The path before decoding, in which an id may hold an escaped slash."""
        path: str = scope["path"]
        raw = scope.get("raw_path")
        return path if raw is None or path in self._methods else raw.split(b"?")[0].decode("latin-1")

    def _sent(self, request: HttpRequest, response: Response, pattern: str) -> responses.Response:
        """Counts a response, and makes it one of Starlette's."""
        if isinstance(response, Streamed):
            self._count(pattern, response.status, request.scope["started_s"])
            return _Bits(response, request.scope["request_id"])
        made = responses.Response(response.body, response.status, media_type=None)
        made.raw_headers = _headers(response, request.scope["request_id"])
        if request.method == "HEAD":
            made.body = b""
        self._count(pattern, response.status, request.scope["started_s"])
        return made

    def _count(self, pattern: str, status: int, started_s: float) -> None:
        self._metrics.count("requests_total", route=pattern, status=str(status))
        self._metrics.observe("request_seconds", time.perf_counter() - started_s, route=pattern)

    async def _respond(self, route: Route, scope: Scope, receive: Receive, path: Mapping[str, str]) -> Response:
        """The route's response, or a problem. Raises nothing."""
        try:
            request = scope.get(CHECKED) or await self._read(route, scope, receive, path)
            began_s = time.perf_counter()
            try:
                response = await asyncio.to_thread(route.handle, request) if route.blocking else route.handle(request)
                return response if isinstance(response, Response) else await response
            finally:
                self._slow.note(route.method, route.path, request.id, time.perf_counter() - began_s)
        except Exception as err:
            return self._explained(err, route, scope)

    def _explained(self, error: Exception, route: Route, scope: Scope) -> Response:
        """The problem that an error is to the caller."""
        if isinstance(error, RefusedError):
            return self._wrong(error.problem, error.headers)
        if isinstance(error, RequestError):
            return self._wrong(problem(HTTPStatus.BAD_REQUEST, str(error), field=error.field, allowed=error.allowed))
        if isinstance(error, UnknownRoom):
            return self._wrong(problem(HTTPStatus.NOT_FOUND, str(error), field="room", allowed="a room that is live"))
        if isinstance(error, UnknownViewer):
            return self._wrong(
                problem(HTTPStatus.NOT_FOUND, str(error), field="viewer", allowed="a viewer with events")
            )
        said = "%s %s failed, request %s"
        LOGGER.error(said, scope["method"], route.path, scope["request_id"], exc_info=error)
        detail = "something went wrong here; it is in the log of the replica"
        return self._wrong(problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail))

    def _checked(self, route: Route, scope: Scope) -> Mapping[str, str]:
        """Checks all of a request but its body; returns its parameters. Raises RefusedError.

        The name of the caller's key is then in the scope.
        """
        headers = scope.get("headers", ())
        scope["key"] = ""
        if self._access is not None and route.scope is not None:
            scope["key"] = self._access.require(headers, route.scope)
        if route.tables and not self._has_read():
            detail = "this replica is still reading what is live; try again"
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=((b"retry-after", b"1"),))
        parameters = _parameters(scope)
        if parameters and not route.operation.parameters and route.path.startswith(DATA):
            name = next(iter(parameters))[:80]
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, f"{route.path} takes no parameter {name!r}", field=name, allowed="none"
            )
        if route.operation.body is not None:
            types = [other.content_type for other in route.operation.other_bodies]
            self._bodies.check_headers(headers, route.operation.encodings, types)
        return parameters

    async def _read(self, route: Route, scope: Scope, receive: Receive, path: Mapping[str, str]) -> Request:
        """Checks a request and reads its body. Raises RefusedError."""
        parameters = self._checked(route, scope)
        body = await self._bodies.read(receive)
        return Request(path, parameters, body, scope.get("headers", ()), scope["key"], scope["request_id"])

    async def _refused(self, request: HttpRequest, error: Exception) -> responses.Response:
        """The response where Starlette has no route: for an unknown path or method, and for OPTIONS."""
        pattern = self._path_of.get(request.scope.get("endpoint"), "")
        return self._sent(request, self._elsewhere(pattern, request.scope), pattern or "unknown")

    def _elsewhere(self, pattern: str, scope: Scope) -> Response:
        """The response to OPTIONS, or a problem. pattern: "" for an unknown path."""
        method, path = scope["method"], scope["path"]
        taken = self._methods.get(pattern)
        if taken is None and method == "OPTIONS" and path == "*":
            taken = list(dict.fromkeys(one for several in self._methods.values() for one in several))
        if taken is None:
            elsewhere = ": it is at a port of its own, http.admin_port" if path in ADMIN_PATHS else ""
            detail, allowed = f"nothing is at {path[:200]}{elsewhere}", ", ".join(self._methods)
            return self._wrong(problem(HTTPStatus.NOT_FOUND, detail, field="path", allowed=allowed))
        allow = (b"allow", ", ".join([*taken, *(["HEAD"] if "GET" in taken else []), "OPTIONS"]).encode())
        if method == "OPTIONS":
            return Response(b"", status=HTTPStatus.NO_CONTENT.value, headers=(allow,))
        detail, allowed = f"{pattern} does not take {method[:40]}", ", ".join(taken)
        wrong = problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, field="method", allowed=allowed)
        return self._wrong(wrong, (allow, *CLOSE))

    def _wrong(self, what: Problem, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
        return Response(self._encode(what), CONTENT_TYPE, what.status, headers)


class _Bits(responses.Response):
    """A response of Starlette's whose body comes bit by bit."""

    def __init__(self, response: Streamed, request_id: str) -> None:
        self._response, self._request_id = response, request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response
        headers = _headers(response, self._request_id)
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if scope["method"] != "HEAD":
            left = asyncio.create_task(_until_left(receive, response.leave))
            try:
                await response.run(_writer(send))
            finally:
                left.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _until_left(receive: Receive, leave: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    leave()


def _writer(send: Send) -> Write:
    async def write(body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})

    return write


def _parameters(scope: Scope) -> Mapping[str, str]:
    """The parameters of the query string. Raises RefusedError: one is there twice, or it is not UTF-8."""
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


def _headers(response: Response, request_id: str) -> list[tuple[bytes, bytes]]:
    headers = [*response.headers, (HEADER, request_id.encode())]
    if all(name != b"cache-control" for name, _ in headers):
        headers.append(NO_STORE)
    if response.status != HTTPStatus.NO_CONTENT:
        headers.append((b"content-type", response.content_type.encode()))
        if not isinstance(response, Streamed):
            headers.append((b"content-length", str(len(response.body)).encode()))
    return headers


def _with_headers(send: Send, added: tuple[tuple[bytes, bytes], ...]) -> Send:
    """`send`, with headers added to the answer."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *added]
        await send(message)

    return sent


async def _send(send: Send, response: Response, request_id: str) -> None:
    headers = _headers(response, request_id)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
