"""The routes that describe the others: the OpenAPI document, and its page. Never describes itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from deploy.http.docs import ASSETS, PAGE, asset
from deploy.http.openapi import Operation, document
from deploy.http.problem import Problem
from deploy.http.route import HTML, Request, Response, Route

KEPT = ((b"cache-control", b"max-age=86400"),)  # in a browser: another release may come tomorrow
HIDDEN = Operation("", "", None)


def description_routes(described: Sequence[Route], *, with_keys: bool = False) -> list[Route]:
    """The routes of the document, of its page and of what the page needs. with_keys: callers need keys."""
    scopes: dict[str, str] | None = {r.operation.id: r.scope for r in described if r.scope} if with_keys else None
    made: dict[str, Any] = document([(r.method, r.path, r.operation) for r in described], Problem, scopes)
    document_json = msgspec.json.encode(made)
    return [
        Route("GET", "/openapi.json", lambda _: Response(document_json), HIDDEN),
        Route("GET", "/docs", lambda _: Response(PAGE.encode(), HTML), HIDDEN),
        *(_of_asset(name, kind) for name, kind in ASSETS.items()),
    ]


def _of_asset(name: str, kind: str) -> Route:
    def given(_: Request) -> Response:
        return Response(asset(name), kind, headers=KEPT)

    return Route("GET", f"/docs/{name}", given, HIDDEN, blocking=True)
