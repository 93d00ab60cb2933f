"""One HTTP route: its request, its response, its description. Never speaks ASGI, never answers anything itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from deploy.http.keys import Scope
from deploy.http.openapi import Operation

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
HTML = "text/html; charset=utf-8"
EVENTS = "text/event-stream"
Write = Callable[[bytes], Awaitable[None]]  # returns once there is room for more
# the statuses that callers of most routes should be ready for, without and with a body
GOT = (HTTPStatus.BAD_REQUEST, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
POSTED = (
    *GOT,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request. path: the path's parameters by name, decoded. headers: as ASGI has them, names in lower case.

    key: the name of the caller's key, "" where none is needed. id: of the request, and of its answer.
    """

    path: Mapping[str, str]
    parameters: Mapping[str, str]
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)
    key: str = ""
    id: str = ""

    def header(self, name: str) -> str:
        """The value of a header, "" where it is not there. name: in lower case."""
        wanted = name.encode()
        return next((value.decode("latin-1") for there, value in self.headers if there == wanted), "")


@dataclass(frozen=True, slots=True)
class Response:
    """The response to a request."""

    body: bytes
    content_type: str = JSON
    status: int = HTTPStatus.OK.value
    headers: tuple[tuple[bytes, bytes], ...] = ()  # beside those that every answer has


@dataclass(frozen=True, slots=True)
class Whole:
    """A response as it is sent: with all headers, in their order."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed(Response):
    """A response whose body comes bit by bit: `run` writes it, and returns at its end. leave: the caller has left."""

    run: Callable[[Write], Awaitable[None]]
    leave: Callable[[], None]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path; `{room}` in the path is a parameter. Most handlers answer at once, some have to wait.

    blocking: takes so long that it runs in a thread. tables: answers from the tables, so not before they are read.
    direct: so frequent that it goes past Starlette's router, and past ASGI where a replica's server allows it; its path
    has no parameter. scope: of the key that a caller needs; None: everybody may.
    """

    method: str
    path: str
    handle: Callable[[Request], Response | Awaitable[Response]]
    operation: Operation
    blocking: bool = False
    tables: bool = False
    direct: bool = False
    scope: Scope | None = None
