"""Every route of the public port, put together. Never has one of its own."""

from __future__ import annotations

from collections.abc import Callable

from deploy.http.route import Route
from deploy.http.routes.answers import Answers, Lookups, answer_routes
from deploy.http.routes.description import description_routes
from deploy.http.routes.probes import probe_routes
from deploy.http.routes.viewers import Erasures, viewer_routes
from deploy.http.status import Readiness


def routes(
    answers: Answers,
    readiness: Callable[[], Readiness],
    lookup: Lookups | None = None,
    erasures: Erasures | None = None,
) -> list[Route]:
    """Every route of the public port. readiness: gives that of this replica."""
    described = [*answer_routes(answers, lookup), *viewer_routes(erasures), *probe_routes(readiness)]
    return [*described, *description_routes(described)]
