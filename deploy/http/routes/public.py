"""Every route of the public port, put together. Never has one of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deploy.http.route import Route
from deploy.http.routes.answers import Answers, Lookups, answer_routes
from deploy.http.routes.description import description_routes
from deploy.http.routes.probes import probe_routes
from deploy.http.status import Readiness


def routes(
    answers: Answers,
    readiness: Callable[[], Readiness],
    lookup: Lookups | None = None,
    taking: Sequence[Route] = (),
) -> list[Route]:
    """Every route of the public port. readiness: gives that of this replica. taking: the routes that take records."""
    described = [*answer_routes(answers, lookup), *taking, *probe_routes(readiness)]
    return [*described, *description_routes(described)]
