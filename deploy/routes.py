"""Owns the table of HTTP routes and what each does with a request. Never speaks ASGI, never touches a network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta

from actors.answer import MAX_LIMIT, Answer, Filters, Item, Limit, Query, Room
from deploy.docs import docs_page
from deploy.openapi import Operation, document
from deploy.problem import Problem, Reader
from deploy.status import Readiness, SystemStatus
from streaming.events import Label, Language

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
HTML = "text/html; charset=utf-8"


class RoomsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which live rooms to list."""

    limit: Limit = 20
    language: Annotated[Language, Meta(min_length=1)] | None = None
    category: Annotated[Label, Meta(min_length=1)] | None = None
    mature: bool | None = None


class SimilarQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many similar rooms."""

    limit: Limit = 20


class Answers(Protocol):
    """What the routes ask; `actors.recommend.Recommender` is it."""

    def recommend_json(self, query: Query) -> bytes:
        """The rooms for one viewer: an Answer as JSON."""

    def rooms(self, limit: int, filters: Filters = ...) -> list[Room]:
        """Live rooms, largest audience first."""

    def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""

    def similar(self, room: str, limit: int) -> list[Item]:
        """Rooms like a live room. Raises UnknownRoom."""


class Lookups(Protocol):
    """Where the routes get profiles that the replica let go; `deploy.lookup.Lookup` is it."""

    def wanted(self, viewer: str) -> bool:
        """Whether asking may bring anything. Cheap: every recommendation asks it."""

    async def fetch(self, viewer: str) -> None:
        """Returns when the profile is in the replica's table, or in time without it. Raises nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `room` is the path's parameter, "" where the route has none."""

    room: str
    parameters: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back."""

    body: bytes
    content_type: str = JSON
    status: int = HTTPStatus.OK.value


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path; `{room}` in the path is a room's id. Most handlers answer at once, one may have to wait.

    blocking: takes long enough to want a thread. tables: answers from the tables, so not before they are read.
    """

    method: str
    path: str
    handle: Callable[[Request], Response | Awaitable[Response]]
    operation: Operation
    blocking: bool = False
    tables: bool = False


def routes(
    answers: Answers,
    readiness: Callable[[], Readiness],
    status: Callable[[], SystemStatus],
    expose: Callable[[], bytes],
    lookup: Lookups | None = None,
) -> list[Route]:
    """Every route. readiness: of this replica; status: of the whole system; expose: the node's metrics."""
    encode = msgspec.json.Encoder().encode
    asked = Reader(Query, root='a JSON object such as {"viewer": "viewer-1", "limit": 20}')
    listed = Reader(RoomsQuery, root="limit, language, category, mature")
    counted = Reader(SimilarQuery, root=f"limit, from 1 to {MAX_LIMIT}")

    def recommend(request: Request) -> Response | Awaitable[Response]:
        query = asked.json(request.body)
        if lookup is not None and lookup.wanted(query.viewer):
            return looked_up(lookup, query)
        return Response(answers.recommend_json(query))

    async def looked_up(lookup: Lookups, query: Query) -> Response:
        await lookup.fetch(query.viewer)
        return Response(answers.recommend_json(query))

    def list_rooms(request: Request) -> Response:
        query: RoomsQuery = listed.parameters(request.parameters)
        filters = Filters(language=query.language, category=query.category, mature=query.mature)
        return Response(encode(answers.rooms(query.limit, filters)))

    def one_room(request: Request) -> Response:
        return Response(encode(answers.room(request.room)))

    def similar(request: Request) -> Response:
        query: SimilarQuery = counted.parameters(request.parameters)
        return Response(encode(answers.similar(request.room, query.limit)))

    def healthy(_: Request) -> Response:
        return Response(b'{"status":"up"}')

    def ready(_: Request) -> Response:
        state = readiness()
        code = HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(encode(state), status=code.value)

    def whole_status(_: Request) -> Response:
        return Response(encode(status()))

    def metrics(_: Request) -> Response:
        return Response(expose(), PROMETHEUS)

    table = [
        Route(
            "POST",
            "/v1/recommend",
            recommend,
            Operation("Rooms for a viewer, best first", Answer, body=Query),
            tables=True,
        ),
        Route("GET", "/v1/rooms", list_rooms, Operation("Live rooms", list[Room], parameters=RoomsQuery), tables=True),
        Route("GET", "/v1/rooms/{room}", one_room, Operation("One live room", Room), tables=True),
        Route(
            "GET",
            "/v1/rooms/{room}/similar",
            similar,
            Operation("Live rooms like this one", list[Item], parameters=SimilarQuery),
            tables=True,
        ),
        Route("GET", "/v1/status", whole_status, Operation("Every worker and replica", SystemStatus), blocking=True),
        Route("GET", "/healthz", healthy, Operation("The process is up", dict[str, str])),
        Route("GET", "/readyz", ready, Operation("Caught up, and how far behind; 503 while not", Readiness)),
        Route("GET", "/metrics", metrics, Operation("Metrics of every process of the node", None), blocking=True),
    ]
    described: dict[str, Any] = document([(r.method, r.path, r.operation) for r in table], Problem)
    document_json, page = encode(described), docs_page(described).encode()
    hidden = Operation("", None)
    return [
        *table,
        Route("GET", "/openapi.json", lambda _: Response(document_json), hidden),
        Route("GET", "/docs", lambda _: Response(page, HTML), hidden),
    ]
