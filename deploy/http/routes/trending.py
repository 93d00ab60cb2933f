"""The route that says what is trending, for nobody in particular. Never computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from actors.recommend.schema import Item
from actors.requests.filters import Filters
from deploy.http.openapi import Operation
from deploy.http.problem import Reader
from deploy.http.route import GOT, Request, Response, Route
from deploy.http.routes.list_query import ListQuery


class Trends(Protocol):
    """The list that the route needs; `actors.answers.trending.Trending` gives it."""

    def rooms(self, limit: int, filters: Filters, exclude_streamers: Sequence[str]) -> list[Item]:
        """Live rooms, the most trending first, each with its reason. At once, from memory."""


def trending_routes(trends: Trends) -> list[Route]:
    """The route for what is trending."""
    encode = msgspec.json.Encoder().encode
    listed = Reader(ListQuery, root=", ".join(ListQuery.__struct_fields__))

    def trending(request: Request) -> Response:
        query: ListQuery = listed.parameters(request.parameters)
        return Response(encode(trends.rooms(query.limit, query.filters, query.streamers)))

    summary = "Live rooms that viewers come to now, or where chat rises, for nobody in particular"
    return [
        Route(
            "GET",
            "/v1/trending",
            trending,
            Operation("trending", summary, list[Item], parameters=ListQuery, errors=GOT),
            tables=True,
            scope="recommend",
        )
    ]
