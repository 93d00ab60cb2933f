"""What Starlette costs a request: µs of processor time in the ASGI application, past its router and through it.

The handler answers at once with what a recommendation weighs, so that all that is measured is around it. Both ways are
measured in turns, in one process; the ratio is what the direct way of POST /v1/recommend saves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

import msgspec

from actors.recommend.schema import Query
from deploy.http.api import Api
from deploy.http.openapi import Operation
from deploy.http.problem import Reader
from deploy.http.route import Request, Response, Route
from streaming.prometheus import PrometheusMetrics

BODY = msgspec.json.encode({"viewer": "viewer-1", "limit": 20})
ANSWER = b'{"rooms":[' + b",".join([b'{"room":"room-000001","score":0.123456,"reason":"visited"}'] * 20) + b"]}"
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
    (b"accept", b"*/*"),
    (b"user-agent", b"bench"),
]


def api(*, direct: bool) -> Api:
    """An application with one route that reads a query."""
    read = Reader(Query, root="")

    def answer(request: Request) -> Response:
        read.json(request.body)
        return Response(ANSWER)

    route = Route("POST", "/v1/recommend", answer, Operation("recommend", "", None, body=Query), direct=direct)
    others = [
        Route("GET", path, answer, Operation("", "", None)) for path in ("/v1/rooms", "/v1/rooms/{room}", "/healthz")
    ]
    return Api([route, *others], 2_000_000, PrometheusMetrics())


async def microseconds(application: Api, requests: int) -> float:
    """Processor time of a request."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        assert message["type"].startswith("http.response")

    def scope() -> dict[str, Any]:
        return {
            "type": "http", "method": "POST", "path": "/v1/recommend", "raw_path": b"/v1/recommend",
            "query_string": b"", "headers": HEADERS, "root_path": "",
        }  # fmt: skip

    began = time.process_time()
    for _ in range(requests):
        await application(scope(), receive, send)
    return (time.process_time() - began) / requests * 1e6


async def measure(rounds: int, requests: int) -> dict[str, float]:
    """Medians over the rounds."""
    applications = {"direct": api(direct=True), "starlette": api(direct=False)}
    for application in applications.values():
        await microseconds(application, requests // 10)
    found: dict[str, list[float]] = {name: [] for name in applications}
    for _ in range(rounds):
        for name, application in applications.items():
            found[name].append(await microseconds(application, requests))
    medians = {f"{name}_us": statistics.median(values) for name, values in found.items()}
    return {**medians, "ratio": medians["starlette_us"] / medians["direct_us"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--json", action="store_true", help="figures as one line of JSON")
    args = parser.parse_args()
    found = asyncio.run(measure(args.rounds, args.requests))
    if args.json:
        print(json.dumps(found))
        return
    print(f"direct         {found['direct_us']:6.1f} us a request")
    print(f"by Starlette   {found['starlette_us']:6.1f} us a request, {found['ratio']:.2f} times as much")


if __name__ == "__main__":
    main()
