"""The table of HTTP routes, with what each does with a request. Never speaks ASGI, never touches a network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from actors.recommend.schema import (
    Answer,
    CategoryFilter,
    Filters,
    Item,
    LanguageFilter,
    Limit,
    MatureFilter,
    Query,
    Room,
)
from deploy.http.docs import ASSETS, PAGE, asset
from deploy.http.openapi import Operation, document
from deploy.http.problem import CONTENT_TYPE, Problem, Reader, problem
from deploy.http.status import Readiness

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
HTML = "text/html; charset=utf-8"
KEPT = ((b"cache-control", b"max-age=86400"),)  # in a browser: another release may come tomorrow
EXAMPLE = {"viewer": "viewer-1", "limit": 5, "filters": {"language": "pt", "mature": False}, "explain": True}
GOT = (HTTPStatus.BAD_REQUEST, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
POSTED = (
    *GOT,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


class ListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which live rooms to list, and how many."""

    limit: Limit = 20
    language: LanguageFilter | None = None
    category: CategoryFilter | None = None
    mature: MatureFilter = None

    @property
    def filters(self) -> Filters:
        """The filters for rooms of the list."""
        return Filters(language=self.language, category=self.category, mature=self.mature)


class Answers(Protocol):
    """The answers that the routes need; `actors.recommend.recommender.Recommender` gives them."""

    def recommend_json(self, query: Query) -> bytes:
        """The rooms for one viewer: an Answer as JSON."""

    def rooms(self, limit: int, filters: Filters = ...) -> list[Room]:
        """Live rooms, largest audience first."""

    def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""

    def similar(self, room: str, limit: int, filters: Filters = ...) -> list[Item]:
        """Rooms like a live room. Raises UnknownRoom."""


class Lookups(Protocol):
    """Lookups of profiles that the replica has let go; `deploy.serve.profile_lookup.Lookup` makes them."""

    def wanted(self, viewer: str) -> bool:
        """Whether a lookup may find anything. Cheap: every recommendation asks it."""

    async def fetch(self, viewer: str) -> None:
        """Looks a profile up; returns when it is in the replica's table, or in time without it. Raises nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request: `room` is the path's parameter, "" where the route has none."""

    room: str
    parameters: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """The response to a request."""

    body: bytes
    content_type: str = JSON
    status: int = HTTPStatus.OK.value
    headers: tuple[tuple[bytes, bytes], ...] = ()  # beside those that every answer has


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path; `{room}` in the path is a room's id. Most handlers answer at once, one may have to wait.

    blocking: takes so long that it runs in a thread. tables: answers from the tables, so not before they are read.
    direct: so frequent that it goes past Starlette's router; its path has no parameter.
    """

    method: str
    path: str
    handle: Callable[[Request], Response | Awaitable[Response]]
    operation: Operation
    blocking: bool = False
    tables: bool = False
    direct: bool = False


def routes(answers: Answers, readiness: Callable[[], Readiness], lookup: Lookups | None = None) -> list[Route]:
    """Every route of the public port. readiness: gives that of this replica."""
    encode = msgspec.json.Encoder().encode
    asked = Reader(Query, root='a JSON object such as {"viewer": "viewer-1", "limit": 20}')
    listed = Reader(ListQuery, root="limit, language, category, mature")

    def recommend(request: Request) -> Response | Awaitable[Response]:
        query = asked.json(request.body)
        if lookup is not None and lookup.wanted(query.viewer):
            return looked_up(lookup, query)
        return Response(answers.recommend_json(query))

    async def looked_up(lookup: Lookups, query: Query) -> Response:
        await lookup.fetch(query.viewer)
        return Response(answers.recommend_json(query))

    def list_rooms(request: Request) -> Response:
        query: ListQuery = listed.parameters(request.parameters)
        return Response(encode(answers.rooms(query.limit, query.filters)))

    def one_room(request: Request) -> Response:
        return Response(encode(answers.room(request.room)))

    def similar(request: Request) -> Response:
        query: ListQuery = listed.parameters(request.parameters)
        return Response(encode(answers.similar(request.room, query.limit, query.filters)))

    def healthy(_: Request) -> Response:
        return Response(b'{"status":"up"}')

    def ready(_: Request) -> Response:
        now = readiness()
        if now.ready:
            return Response(encode(now))
        wrong = problem(HTTPStatus.SERVICE_UNAVAILABLE, now.reason)
        fields = {**msgspec.to_builtins(wrong), **msgspec.to_builtins(now)}  # RFC 9457 lets a problem have more fields
        return Response(encode(fields), CONTENT_TYPE, wrong.status)

    table = [
        Route(
            "POST",
            "/v1/recommend",
            recommend,
            Operation(
                "recommend", "Rooms for a viewer, best first", Answer, body=Query, example=EXAMPLE, errors=POSTED
            ),
            tables=True,
            direct=True,
        ),
        Route(
            "GET",
            "/v1/rooms",
            list_rooms,
            Operation("listRooms", "Live rooms, largest audience first", list[Room], parameters=ListQuery, errors=GOT),
            tables=True,
        ),
        Route(
            "GET",
            "/v1/rooms/{room}",
            one_room,
            Operation("getRoom", "One live room", Room, errors=(*GOT, HTTPStatus.NOT_FOUND)),
            tables=True,
        ),
        Route(
            "GET",
            "/v1/rooms/{room}/similar",
            similar,
            Operation(
                "similarRooms",
                "Live rooms like this one",
                list[Item],
                parameters=ListQuery,
                errors=(*GOT, HTTPStatus.NOT_FOUND),
            ),
            tables=True,
        ),
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
    described: dict[str, Any] = document([(r.method, r.path, r.operation) for r in table], Problem)
    document_json = encode(described)
    hidden = Operation("", "", None)
    return [
        *table,
        Route("GET", "/openapi.json", lambda _: Response(document_json), hidden),
        Route("GET", "/docs", lambda _: Response(PAGE.encode(), HTML), hidden),
        *(_of_asset(name, kind, hidden) for name, kind in ASSETS.items()),
    ]


def _of_asset(name: str, kind: str, hidden: Operation) -> Route:
    def given(_: Request) -> Response:
        return Response(asset(name), kind, headers=KEPT)

    return Route("GET", f"/docs/{name}", given, hidden, blocking=True)
