"""The route that puts given rooms in order for a viewer. Never computes an order."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from actors.recommend.schema import RankAnswer, RankQuery
from deploy.http.openapi import Operation
from deploy.http.problem import Reader
from deploy.http.route import POSTED, Request, Response, Route
from deploy.http.routes.answers import Lookups

EXAMPLE = {"viewer": "viewer-1", "rooms": ["room-1", "room-2", "room-3"], "explain": True}


class Rankings(Protocol):
    """The rankings that the route needs; `actors.answers.given_rooms.GivenRooms` gives them."""

    def rank_json(self, query: RankQuery, request_id: str = ...) -> bytes:
        """The given rooms in order: a RankAnswer as JSON. At once, from memory. request_id: of the answer."""


def given_rooms_routes(rankings: Rankings, lookup: Lookups | None = None) -> list[Route]:
    """The route for given rooms."""
    asked = Reader(RankQuery, root='a JSON object such as {"viewer": "viewer-1", "rooms": ["room-1", "room-2"]}')

    def rank(request: Request) -> Response | Awaitable[Response]:
        query = asked.json(request.body)
        if lookup is not None and lookup.wanted(query.viewer):
            return looked_up(lookup, query, request.id)
        return Response(rankings.rank_json(query, request.id))

    async def looked_up(lookup: Lookups, query: RankQuery, request_id: str) -> Response:
        await lookup.fetch(query.viewer)
        return Response(rankings.rank_json(query, request_id))

    return [
        Route(
            "POST",
            "/v1/rank",
            rank,
            Operation("rank", "Given rooms for a viewer, best first", RankAnswer, RankQuery, None, EXAMPLE, POSTED),
            tables=True,
            scope="recommend",
        )
    ]
