"""The route that shows a viewer as the platform sees them. Never reads a profile."""

from __future__ import annotations

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Protocol

import msgspec

from actors.answers.schema import SeenViewer
from deploy.http.openapi import Operation
from deploy.http.route import GOT, Request, Response, Route
from deploy.http.routes.answers import Lookups


class Viewers(Protocol):
    """The viewers that the route needs; `actors.answers.seen_viewers.SeenViewers` gives them."""

    def viewer(self, viewer: str) -> SeenViewer:
        """The viewer as of now. At once, from memory. Raises UnknownViewer."""


def viewer_routes(viewers: Viewers, lookup: Lookups | None = None) -> list[Route]:
    """The route for viewers."""
    encode = msgspec.json.Encoder().encode

    def one_viewer(request: Request) -> Response | Awaitable[Response]:
        viewer = request.path["viewer"]
        if lookup is not None and lookup.wanted(viewer):
            return looked_up(lookup, viewer)
        return Response(encode(viewers.viewer(viewer)))

    async def looked_up(lookup: Lookups, viewer: str) -> Response:
        await lookup.fetch(viewer)
        return Response(encode(viewers.viewer(viewer)))

    return [
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
        )
    ]
