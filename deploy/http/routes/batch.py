"""The route for many recommendations in one request: each has an answer or a problem. Never computes an answer.

Between two of them other requests have their turn, so that none waits for longer than for a single recommendation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.recommend.schema import Answer, Query
from deploy.http.openapi import REFERENCE, Operation
from deploy.http.problem import Problem, Reader, problem
from deploy.http.route import POSTED, Request, Response, Route
from deploy.http.routes.answers import Answers, Lookups
from deploy.http.routes.texts import Texts, fetched, unknown_text
from streaming.errors import RequestError

LOGGER = logging.getLogger(__name__)

MAX_QUERIES = 100
LOOKUPS = 16  # profiles looked up at a time: a quarter of what a replica has in flight, by default
FAILED = "something went wrong here; it is in the log of the replica"
EXAMPLE = {"queries": [{"viewer": "viewer-1", "limit": 5}, {"viewer": "viewer-2", "filters": {"language": "pt"}}]}


# still to be read, one by one: one that is wrong does not make the others wrong
UnreadQuery = Annotated[
    msgspec.Raw,
    Meta(
        description="a query as for /v1/recommend; anything else has a problem in its place of the results",
        extra_json_schema={"anyOf": [{"$ref": REFERENCE.format(name=Query.__name__)}, {}]},
    ),
]


class BatchQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Recommendations asked for in one request."""

    queries: Annotated[list[UnreadQuery], Meta(min_length=1, max_length=MAX_QUERIES)]


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one query: an answer, or a problem whose `field` is within the query."""

    answer: Answer | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The results in the order of the queries. Each was computed on its own, at its `generated_at_ms`.

    The `request_id` of each is that of the request, a full stop, and its place from 0.
    """

    results: list[BatchResult]


def batch_routes(answers: Answers, texts: Texts, lookup: Lookups | None = None) -> list[Route]:
    """The route for many recommendations."""
    encode = msgspec.json.Encoder().encode
    listed = Reader(BatchQuery, root='a JSON object such as {"queries": [{"viewer": "viewer-1"}]}')
    asked = Reader(Query, root='a JSON object such as {"viewer": "viewer-1", "limit": 20}')

    async def recommend(request: Request) -> Response:
        queries = [read(raw) for raw in listed.json(request.body).queries]
        await look_up([query.viewer for query in queries if isinstance(query, Query)])
        await fetch_texts([query for query in queries if isinstance(query, Query) and query.steer is not None])
        results = []
        for place, query in enumerate(queries):
            await asyncio.sleep(0)
            results.append(answered(query, f"{request.id}.{place}") if isinstance(query, Query) else query)
        return Response(b'{"results":[%b]}' % b",".join(results))

    def read(raw: msgspec.Raw) -> Query | bytes:
        try:
            query: Query = asked.json(bytes(raw))
        except RequestError as err:
            return wrong(HTTPStatus.BAD_REQUEST, str(err), field=err.field, allowed=err.allowed)
        return query

    async def look_up(viewers: Sequence[str]) -> None:
        if lookup is not None:
            gone = [viewer for viewer in dict.fromkeys(viewers) if lookup.wanted(viewer)]
            for start in range(0, len(gone), LOOKUPS):
                await asyncio.gather(*map(lookup.fetch, gone[start : start + LOOKUPS]))

    async def fetch_texts(queries: Sequence[Query]) -> None:
        unknown: dict[str, None] = {}
        for query in queries:
            with contextlib.suppress(RequestError):  # the answer says so
                if (text := unknown_text(texts, query)) is not None:
                    unknown[text] = None
        missing = [*unknown]
        for start in range(0, len(missing), LOOKUPS):
            await asyncio.gather(*[fetched(texts, text) for text in missing[start : start + LOOKUPS]])

    def answered(query: Query, request_id: str) -> bytes:
        try:
            return b'{"answer":%b}' % answers.recommend_json(query, request_id)
        except RequestError as err:
            return wrong(HTTPStatus.BAD_REQUEST, str(err), field=err.field, allowed=err.allowed)
        except Exception:  # the others have their answers
            LOGGER.exception("a query of a batch failed, request %s", request_id)
            return wrong(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED)

    def wrong(status: HTTPStatus, detail: str, *, field: str | None = None, allowed: str | None = None) -> bytes:
        return b'{"problem":%b}' % encode(problem(status, detail, field=field, allowed=allowed))

    return [
        Route(
            "POST",
            "/v1/recommend:batch",
            recommend,
            Operation(
                "recommendBatch",
                f"Up to {MAX_QUERIES} recommendations, each with its own answer or problem",
                BatchAnswer,
                body=BatchQuery,
                example=EXAMPLE,
                errors=POSTED,
            ),
            tables=True,
            scope="recommend",
        )
    ]
