"""Every route of the public port, put together. Never has one of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.http.route import Route
from deploy.http.routes.answers import Answers, Lookups, answer_routes
from deploy.http.routes.batch import batch_routes
from deploy.http.routes.description import description_routes
from deploy.http.routes.given_rooms import Rankings, given_rooms_routes
from deploy.http.routes.probes import probe_routes
from deploy.http.routes.room_map import Maps, map_routes
from deploy.http.routes.search import Searches, search_routes
from deploy.http.routes.texts import Texts
from deploy.http.routes.trending import Trends, trending_routes
from deploy.http.routes.viewers import Viewers, viewer_routes
from deploy.http.status import Readiness
from deploy.http.streams.stream_route import stream_routes
from deploy.http.streams.streams import Streams


@dataclass(frozen=True, slots=True)
class Behind:
    """What the routes call. lookup: finds profiles that the replica has let go. texts: gives texts their vectors.

    writing: the routes that write to the log. streams: of lists that are pushed. names_viewers: whether known viewers
    may be listed; not where nobody is asked who they are. local_only: whether only this machine reaches http.host.
    """

    answers: Answers
    rankings: Rankings
    trends: Trends
    viewers: Viewers
    maps: Maps
    searches: Searches
    texts: Texts
    lookup: Lookups | None = None
    writing: Sequence[Route] = ()
    streams: Streams | None = None
    names_viewers: bool = True
    local_only: bool = False


def routes(behind: Behind, readiness: Callable[[], Readiness], *, with_keys: bool = False) -> list[Route]:
    """Every route of the public port. readiness: gives that of this replica. with_keys: callers need keys."""
    lookup = behind.lookup
    described = [
        *answer_routes(behind.answers, behind.texts, lookup),
        *batch_routes(behind.answers, behind.texts, lookup),
        *given_rooms_routes(behind.rankings, lookup),
        *trending_routes(behind.trends),
        *search_routes(behind.searches, behind.texts),
        *viewer_routes(behind.viewers, lookup, names=behind.names_viewers, local_only=behind.local_only),
        *map_routes(behind.maps),
        *stream_routes(behind.streams, lookup),
        *behind.writing,
        *probe_routes(readiness),
    ]
    return [*described, *description_routes(described, with_keys=with_keys)]
