"""The route that finds live rooms by a text. Never compares a room with it."""

from __future__ import annotations

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Protocol

import msgspec

from actors.answers.search import Asked, SearchAnswer
from actors.requests.asked_text import AskedText, readable
from actors.requests.cursor import Cursor
from actors.requests.text_vectors import TextVector
from deploy.http.openapi import Operation
from deploy.http.problem import Reader, RefusedError
from deploy.http.route import GOT, Request, Response, Route
from deploy.http.routes.list_query import ListQuery
from deploy.http.routes.texts import Texts
from streaming.errors import EncoderAway

AGAIN = ((b"retry-after", b"1"),)

DESCRIPTION = (
    "By what is said in the rooms now, and by their titles, tags and categories. A text that no replica knows yet is "
    "encoded first; 503 where the Encoder is away, or has too much to do."
)


class SearchQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text, and which live rooms may be found by it."""

    q: AskedText
    cursor: Cursor | None = None


class Searches(Protocol):
    """The search that the route needs; `actors.answers.search.Search` gives it."""

    def found(self, asked: Asked, vector: TextVector) -> SearchAnswer:
        """Live rooms, most like the text first. At once, from memory. Raises RequestError."""


def search_routes(searches: Searches, texts: Texts) -> list[Route]:
    """The route for a search."""
    encode = msgspec.json.Encoder().encode
    read = Reader(SearchQuery, root=", ".join(SearchQuery.__struct_fields__))

    def search(request: Request) -> Response | Awaitable[Response]:
        query: SearchQuery = read.parameters(request.parameters)
        text = readable(query.q, "q")
        asked = Asked(text, query.limit, query.filters, query.streamers, query.cursor)
        vector = texts.held(text)
        return later(asked) if vector is None else found(asked, vector)

    async def later(asked: Asked) -> Response:
        try:
            vector = await texts.fetch(asked.text)
        except EncoderAway as err:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(err), headers=AGAIN) from err
        return found(asked, vector)

    def found(asked: Asked, vector: TextVector) -> Response:
        return Response(encode(searches.found(asked, vector)))

    operation = Operation(
        "search",
        "Live rooms by a text, most like it first",
        SearchAnswer,
        parameters=SearchQuery,
        errors=GOT,
        description=DESCRIPTION,
    )
    return [Route("GET", "/v1/search", search, operation, tables=True, scope="recommend")]
