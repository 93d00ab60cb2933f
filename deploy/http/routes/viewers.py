"""The routes that show viewers as the platform sees them, and that name some. Never reads a profile."""

from __future__ import annotations

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from actors.answers.schema import KnownViewers, SeenViewer
from deploy.http.access import require_own_page
from deploy.http.openapi import Operation
from deploy.http.problem import Reader
from deploy.http.route import GOT, Request, Response, Route
from deploy.http.routes.answers import Lookups

MAX_NAMED = 100

NamedLimit = Annotated[int, Meta(ge=1, le=MAX_NAMED, description="how many viewers to name at most", examples=[20])]


class ViewersQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many viewers to name."""

    limit: NamedLimit = 20


class Viewers(Protocol):
    """The viewers that the routes need; `actors.answers.seen_viewers.SeenViewers` gives them."""

    def viewer(self, viewer: str) -> SeenViewer:
        """The viewer as of now. At once, from memory. Raises UnknownViewer."""

    def latest(self, limit: int) -> KnownViewers:
        """Some known viewers, the latest first. At once, from memory."""


def viewer_routes(
    viewers: Viewers, lookup: Lookups | None = None, *, names: bool = True, local_only: bool = False
) -> list[Route]:
    """The routes for viewers. names: whether one lists some. local_only: only this machine reaches http.host."""
    encode = msgspec.json.Encoder().encode
    named = Reader(ViewersQuery, root=", ".join(ViewersQuery.__struct_fields__))

    def one_viewer(request: Request) -> Response | Awaitable[Response]:
        viewer = request.path["viewer"]
        if lookup is not None and lookup.wanted(viewer):
            return looked_up(lookup, viewer)
        return Response(encode(viewers.viewer(viewer)))

    def some_viewers(request: Request) -> Response:
        if not request.key:  # a page of elsewhere must not learn who is here
            require_own_page(request.headers, local_only=local_only)
        query: ViewersQuery = named.parameters(request.parameters)
        return Response(encode(viewers.latest(query.limit)))

    async def looked_up(lookup: Lookups, viewer: str) -> Response:
        await lookup.fetch(viewer)
        return Response(encode(viewers.viewer(viewer)))

    listing = [
        Route(
            "GET",
            "/v1/viewers",
            some_viewers,
            Operation(
                "listViewers",
                "Some viewers whose profiles this replica holds, those heard of or asked for latest first",
                KnownViewers,
                parameters=ViewersQuery,
                errors=(*GOT, HTTPStatus.FORBIDDEN),
            ),
            tables=True,
            scope="admin",
        )
    ]
    return [
        *(listing if names else []),
        Route(
            "GET",
            "/v1/viewers/{viewer}",
            one_viewer,
            Operation(
                "getViewer",
                "A viewer as the platform sees them: visits, habits, and the interests that the score uses",
                SeenViewer,
                errors=(*GOT, HTTPStatus.NOT_FOUND),
            ),
            tables=True,
            scope="recommend",
        ),
    ]
