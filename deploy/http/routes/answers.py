"""The routes that answer from a replica's tables: recommendations and rooms. Never computes an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec

from actors.recommend.schema import Answer, Item, Query, Room
from actors.requests.filters import Filters
from deploy.http.openapi import Operation
from deploy.http.problem import Reader
from deploy.http.route import GOT, POSTED, Request, Response, Route
from deploy.http.routes.list_query import ListQuery
from deploy.http.routes.texts import Texts, fetched, unknown_text

EXAMPLE = {"viewer": "viewer-1", "limit": 5, "filters": {"language": "pt", "mature": False}, "explain": True}


class Answers(Protocol):
    """The answers that the routes need; `actors.recommend.recommender.Recommender` gives them."""

    def recommend_json(self, query: Query, request_id: str = ...) -> bytes:
        """The rooms for one viewer: an Answer as JSON. request_id: of the answer; "": it gets one of its own."""

    def rooms(self, limit: int, filters: Filters = ..., exclude_streamers: Sequence[str] = ...) -> list[Room]:
        """Live rooms, largest audience first."""

    def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""

    def similar(
        self, room: str, limit: int, filters: Filters = ..., exclude_streamers: Sequence[str] = ...
    ) -> list[Item]:
        """Rooms like a live room. Raises UnknownRoom."""


class Lookups(Protocol):
    """Lookups of profiles that the replica has let go; `deploy.serve.profile_lookup.Lookup` makes them."""

    def wanted(self, viewer: str) -> bool:
        """Whether a lookup may find anything. Cheap: every recommendation asks it."""

    async def fetch(self, viewer: str) -> None:
        """Looks a profile up; returns when it is in the replica's table, or in time without it. Raises nothing."""


def answer_routes(answers: Answers, texts: Texts, lookup: Lookups | None = None) -> list[Route]:
    """The routes that answer from the tables of a replica."""
    encode = msgspec.json.Encoder().encode
    asked = Reader(Query, root='a JSON object such as {"viewer": "viewer-1", "limit": 20}')
    listed = Reader(ListQuery, root=", ".join(ListQuery.__struct_fields__))

    def recommend(request: Request) -> Response | Awaitable[Response]:
        query = asked.json(request.body)
        if query.steer is not None:
            return steered(query, unknown_text(texts, query), request.id)
        if lookup is not None and lookup.wanted(query.viewer):
            return looked_up(lookup, query, request.id)
        return Response(answers.recommend_json(query, request.id))

    async def steered(query: Query, text: str | None, request_id: str) -> Response:
        await fetched(texts, text)
        if lookup is not None and lookup.wanted(query.viewer):
            await lookup.fetch(query.viewer)
        return Response(answers.recommend_json(query, request_id))

    async def looked_up(lookup: Lookups, query: Query, request_id: str) -> Response:
        await lookup.fetch(query.viewer)
        return Response(answers.recommend_json(query, request_id))

    def list_rooms(request: Request) -> Response:
        query: ListQuery = listed.parameters(request.parameters)
        return Response(encode(answers.rooms(query.limit, query.filters, query.streamers)))

    def one_room(request: Request) -> Response:
        return Response(encode(answers.room(request.path["room"])))

    def similar(request: Request) -> Response:
        query: ListQuery = listed.parameters(request.parameters)
        return Response(encode(answers.similar(request.path["room"], query.limit, query.filters, query.streamers)))

    return [
        Route(
            "POST",
            "/v1/recommend",
            recommend,
            Operation(
                "recommend", "Rooms for a viewer, best first", Answer, body=Query, example=EXAMPLE, errors=POSTED
            ),
            tables=True,
            scope="recommend",
            direct=True,
        ),
        Route(
            "GET",
            "/v1/rooms",
            list_rooms,
            Operation("listRooms", "Live rooms, largest audience first", list[Room], parameters=ListQuery, errors=GOT),
            tables=True,
            scope="recommend",
        ),
        Route(
            "GET",
            "/v1/rooms/{room}",
            one_room,
            Operation("getRoom", "One live room", Room, errors=(*GOT, HTTPStatus.NOT_FOUND)),
            tables=True,
            scope="recommend",
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
            scope="recommend",
        ),
    ]
