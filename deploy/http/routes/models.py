"""The routes for the models' versions: which there are, and which answers. Never trains or loads one."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Literal, Protocol

import msgspec

from deploy.http.access import require_own_page
from deploy.http.openapi import Operation
from deploy.http.problem import RefusedError
from deploy.http.route import GOT, Request, Response, Route
from streaming.errors import LogUnavailable, VersionError

CHANGED = (HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE)


class ListedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the models. state: `before` was live once. metrics: of its training and of the promotion gate."""

    version: str
    state: Literal["live", "before", "candidate", "retired"]
    at_ms: int  # of its newest record; 0 for v0, which was always there
    metrics: dict[str, float]


class ListedVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Every version, the newest record first. answers: the one by which this replica answers."""

    answers: str
    versions: list[ListedVersion]


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was put live by hand: no gate is asked. Replicas follow within seconds."""

    version: str
    reason: str


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """The version that was live, now retired, and the one that is."""

    was: str
    live: str


class Versions(Protocol):
    """The versions that the routes need; `deploy.serve.model_versions.ModelVersions` has them."""

    def listed(self) -> ListedVersions:
        """As this replica has read them from the log. At once."""

    def promote(self, version: str) -> Promoted:
        """Puts a version live. Blocks while its files are read. Raises VersionError, LogUnavailable."""

    def rollback(self) -> RolledBack:
        """Puts live what was live before. Blocks. Raises VersionError, LogUnavailable."""


def model_routes(versions: Versions, *, local_only: bool = False) -> list[Route]:
    """The routes. local_only: only this machine reaches http.host."""
    encode = msgspec.json.Encoder().encode

    def changing(change: Callable[[Request], Promoted | RolledBack]) -> Callable[[Request], Response]:
        def handle(request: Request) -> Response:
            if not request.key:  # a web page of elsewhere must not change what answers
                require_own_page(request.headers, local_only=local_only)
            try:
                return Response(encode(change(request)))
            except VersionError as err:
                allowed = "a version that GET /v1/models lists"
                raise RefusedError(HTTPStatus.CONFLICT, str(err), field="version", allowed=allowed) from err
            except LogUnavailable as err:
                again = ((b"retry-after", b"5"),)
                raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(err), headers=again) from err

        return handle

    promote = changing(lambda request: versions.promote(request.path["version"]))
    rollback = changing(lambda _: versions.rollback())
    promoted = Operation("promoteModel", "Put a version live, by hand: no gate is asked", Promoted, errors=CHANGED)
    rolled = Operation("rollbackModel", "Put live what was live before; retire what is", RolledBack, errors=CHANGED)
    return [
        Route(
            "GET",
            "/v1/models",
            lambda _: Response(encode(versions.listed())),
            Operation("listModels", "Every version of the models, the newest first", ListedVersions, errors=GOT),
            tables=True,
            scope="admin",
        ),
        Route("POST", "/v1/models/{version}/promote", promote, promoted, blocking=True, scope="admin"),
        Route("POST", "/v1/models/rollback", rollback, rolled, blocking=True, scope="admin"),
    ]
