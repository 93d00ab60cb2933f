"""The route that gives live rooms by content in two dimensions. Never computes a place."""

from __future__ import annotations

from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from actors.answers.schema import MAX_MAPPED, RoomMap
from actors.requests.filters import Mature, MatureFilter
from deploy.http.openapi import Operation
from deploy.http.problem import Reader
from deploy.http.route import GOT, Request, Response, Route

MAX_AXES = 8_192  # characters: 3,000 dimensions; HAProxy takes a head of 16 KB

MapLimit = Annotated[int, Meta(ge=1, le=MAX_MAPPED, description="how many rooms to return at most", examples=[300])]
AxesText = Annotated[
    str,
    Meta(
        max_length=MAX_AXES,
        description="the `axes` of the map before, with which rooms stay where they are; left out at first",
        extra_json_schema={"pattern": "^[A-Za-z0-9_=-]*$"},
    ),
]


class MapQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which live rooms a map has, and how it lies."""

    limit: MapLimit = 300
    mature: MatureFilter = None
    axes: AxesText = ""


class Maps(Protocol):
    """The maps that the route needs; `actors.answers.room_map.RoomMaps` draws them."""

    def draw(self, limit: int, mature: Mature | None, axes: str) -> RoomMap:
        """The largest live rooms by content. Blocks for some milliseconds. Raises RequestError."""


def map_routes(maps: Maps) -> list[Route]:
    """The route for the map."""
    encode = msgspec.json.Encoder().encode
    asked = Reader(MapQuery, root=", ".join(MapQuery.__struct_fields__))

    def room_map(request: Request) -> Response:
        query: MapQuery = asked.parameters(request.parameters)
        return Response(encode(maps.draw(query.limit, query.mature, query.axes)))

    summary = "Live rooms by content in two dimensions; who gives `axes` back sees rooms stay where they are"
    return [
        Route(
            "GET",
            "/v1/map",
            room_map,
            Operation("mapRooms", summary, RoomMap, parameters=MapQuery, errors=GOT),
            blocking=True,
            tables=True,
            scope="recommend",
        )
    ]
