"""All that the routes of answers call, over one recommender. No test is here."""

from __future__ import annotations

from collections.abc import Sequence

from actors.answers.given_rooms import GivenRooms
from actors.answers.room_map import RoomMaps
from actors.answers.search import Search
from actors.answers.seen_viewers import SeenViewers
from actors.answers.trending import Trending
from actors.recommend.recommender import Recommender
from actors.settings import TablesConfig
from deploy.http.route import Route
from deploy.http.routes.public import Behind
from deploy.http.routes.texts import Texts
from deploy.http.streams.streams import Streams
from streaming.clock import Clock


def answers_behind(
    recommender: Recommender,
    clock: Clock,
    texts: Texts,
    *,
    writing: Sequence[Route] = (),
    streams: Streams | None = None,
) -> Behind:
    """As a replica has them; no profile is looked up elsewhere. clock: of the map."""
    return Behind(
        recommender,
        GivenRooms(recommender),
        Trending(recommender),
        SeenViewers(recommender),
        RoomMaps(recommender, clock),
        Search(recommender, title_weight=TablesConfig().title_weight),
        texts,
        writing=writing,
        streams=streams,
    )
