"""The route on which a viewer is forgotten. Never forgets anybody itself: it writes to the log."""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

import msgspec

from deploy.http.access import require_own_page
from deploy.http.openapi import Operation
from deploy.http.problem import RefusedError
from deploy.http.route import Request, Response, Route
from streaming.errors import LogUnavailable
from streaming.events import MAX_ID_LENGTH, ViewerId

NEXT = (
    "the viewer leaves their room and every replica forgets them within seconds; their archived records go with the "
    "archive's next upkeep"
)


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What was accepted: everything of the viewer up to `erased_at_ms` is forgotten. `next`: what happens now."""

    viewer: str
    erased_at_ms: int
    next: str = NEXT


class Erasures(Protocol):
    """The writing of erasures; `actors.intake.erasures.ErasureWriter` does it."""

    def erase(self, viewer: ViewerId) -> int:
        """Returns the event time of the erasure once the log has it. Blocks. Raises LogUnavailable."""


def erasure_routes(erasures: Erasures | None, *, local_only: bool = False) -> list[Route]:
    """The route; none without erasures (`http.erasure`). local_only: only this machine reaches http.host."""
    if erasures is None:
        return []

    def erase(request: Request) -> Response:
        if not request.key:
            require_own_page(request.headers, local_only=local_only)
        viewer = ViewerId(_checked(request.path["viewer"]))
        try:
            at_ms = erasures.erase(viewer)
        except LogUnavailable as err:
            detail = f"{err}. Ask again: to erase a viewer twice does no harm"
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=((b"retry-after", b"5"),)) from err
        body = msgspec.json.encode(Erased(viewer=viewer, erased_at_ms=at_ms))
        return Response(body, status=HTTPStatus.ACCEPTED.value)

    described = Operation(
        "eraseViewer",
        "Forget a viewer: accepted once it is on the log",
        Erased,
        status=HTTPStatus.ACCEPTED,
        errors=(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    return [Route("DELETE", "/v1/viewers/{viewer}", erase, described, blocking=True, scope="admin")]


def _checked(viewer: str) -> str:
    """The viewer's id. Raises RefusedError: another viewer's would be erased, or none."""
    if len(viewer) <= MAX_ID_LENGTH and "\ufffd" not in viewer:
        return viewer
    allowed = f"1 to {MAX_ID_LENGTH} characters, percent-encoded UTF-8"
    raise RefusedError(HTTPStatus.BAD_REQUEST, "the viewer's id cannot be one", field="viewer", allowed=allowed)
