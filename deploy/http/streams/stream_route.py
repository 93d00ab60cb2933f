"""The route of a viewer's list that is pushed when it changes: server-sent events. Never computes a list."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from actors.recommend.schema import MAX_EXCLUDED, Answer, Query
from actors.requests.context import MAX_RECENT, Context
from actors.requests.filters import LanguageFilter
from actors.requests.goals import Goals
from deploy.http.openapi import REFERENCE, Header, Operation
from deploy.http.problem import Reader
from deploy.http.requests.goals_text import ALLOWED, LONGEST, goals_of_text
from deploy.http.route import EVENTS, GOT, Request, Route, Streamed
from deploy.http.routes.answers import Lookups
from deploy.http.routes.list_query import MAX_TEXT, ListQuery, parts_of, pattern_of
from deploy.http.streams.streams import Streams
from streaming.events import MAX_ID_LENGTH

LAST_EVENT_ID = "last-event-id"
DAY_S = 86_400
UNBUFFERED = ((b"x-accel-buffering", b"no"),)  # for a gateway of nginx in front
DESCRIPTION = (
    "Server-sent events. `list`: an Answer as JSON, sent first, and again when it has changed materially. `ended`: "
    'rooms of the last list that have ended, as `{"rooms": [...]}`; a `list` without them follows. Comments keep the '
    "connection alive. A stream ends after a while, and whenever its replica does; an EventSource comes back by itself "
    "with the id of its last event, and is sent a list only if that is news. An id that is not known counts as none."
)


# of each event, as OpenAPI 3.2 has it for this media type
EVENT = {
    "type": "object",
    "required": ["event", "id", "data"],
    "properties": {
        "event": {"enum": ["list", "ended"]},
        "id": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"anyOf": [{"$ref": REFERENCE.format(name=Answer.__name__)}, {"type": "object"}]},
        },
    },
}


def _ids(what: str, most: int) -> Meta:
    said = f"{what}, at most {most}, with commas between"
    schema = pattern_of(most, MAX_ID_LENGTH)
    return Meta(max_length=MAX_TEXT, description=said, examples=["room-1,room-2"], extra_json_schema=schema)


class StreamQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rooms to list for a viewer, and for how long."""

    exclude: Annotated[str, _ids("ids of rooms that are left out", MAX_EXCLUDED)] = ""
    recent: Annotated[str, _ids("rooms or streamers visited lately, of a viewer without a profile", MAX_RECENT)] = ""
    preferred_language: LanguageFilter | None = None
    goals: Annotated[str, Meta(max_length=LONGEST, description=ALLOWED, examples=["enter:1,stay:4"])] = ""
    last_event_id: Annotated[str, Meta(description="as the header Last-Event-ID, for a client that cannot set it")] = ""
    max_s: Annotated[
        float,
        Meta(
            gt=0, le=DAY_S, description="after so many seconds the stream ends, or after stream.max_s if that is less"
        ),
    ] = DAY_S

    def query(self, viewer: str) -> Query:
        """What is recommended. Raises RequestError."""
        recent = parts_of("recent", self.recent, MAX_RECENT, MAX_ID_LENGTH)
        asked = recent or self.preferred_language
        return Query(
            viewer=viewer,
            limit=self.limit,
            exclude=[*parts_of("exclude", self.exclude, MAX_EXCLUDED, MAX_ID_LENGTH)],
            exclude_streamers=self.streamers,
            filters=self.filters,
            context=Context(recent=recent, language=self.preferred_language) if asked else None,
            goals=goals_of_text(self.goals, Goals),
        )


def stream_routes(streams: Streams | None, lookup: Lookups | None = None) -> list[Route]:
    """The route; none without streams."""
    if streams is None:
        return []
    asked = Reader(StreamQuery, root=", ".join(StreamQuery.__struct_fields__))
    checked = Reader(Query, root="a viewer's id")

    async def stream(request: Request) -> Streamed:
        wished: StreamQuery = asked.parameters(request.parameters)
        query: Query = checked.json(msgspec.json.encode(wished.query(request.path["viewer"])))
        if lookup is not None and lookup.wanted(query.viewer):
            await lookup.fetch(query.viewer)
        held = request.header(LAST_EVENT_ID) or wished.last_event_id
        opened = streams.open(query, held, wished.max_s)
        return Streamed(
            content_type=EVENTS,
            headers=UNBUFFERED,
            run=lambda write: streams.run(opened, write),
            leave=lambda: opened.close("left"),
        )

    described = Operation(
        "streamList",
        "A viewer's rooms, pushed when they change",
        None,
        parameters=StreamQuery,
        errors=GOT,
        description=DESCRIPTION,
        headers=(
            Header(
                "Last-Event-ID",
                "the id of the last event that the client has had; its list is not sent again while it is good",
                {"type": "string"},
                "AbR0c3Qtb25seQ",
            ),
        ),
        media=EVENTS,
        text=EVENT,
    )
    return [Route("GET", "/v1/stream/{viewer}", stream, described, tables=True, scope="recommend")]
