"""What each way to ask costs in the replica, without HTTP: µs a call, and how many plain recommendations that is.

    python -m tests.bench.asking [--rooms N] [--model] [--json]

All of them are asked in turns, in one process, so that the ratios mean something on a busy machine. `batch wait` is the
time for which another request waits while batches of 100 are answered on the same event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable

import msgspec
import numpy as np

from actors.answers.given_rooms import GivenRooms
from actors.answers.seen_viewers import SeenViewers
from actors.answers.trending import Trending
from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.recommend.schema import RankQuery
from actors.requests.context import Context
from actors.requests.filters import Filters
from actors.requests.text_vectors import TextVector
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import Tables
from actors.streams.material_change import margin_of
from deploy.http.route import Request, Response
from deploy.http.routes.batch import MAX_QUERIES, batch_routes
from streaming.clock import SystemClock
from streaming.errors import EncoderAway
from streaming.log.codec import encode
from streaming.log.topics import ROOM_STATES, VIEWER_PROFILES
from streaming.prometheus import PrometheusMetrics
from tests.bench.recommend import Platform, batch_of, put_live

VIEWERS = 200
BATCHES = 20


def filled(num_rooms: int, *, with_model: bool) -> Recommender:
    """A recommender with rooms and viewers."""
    clock, metrics, platform = SystemClock(), PrometheusMetrics(), Platform(num_rooms, VIEWERS, seed=1)
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig()), metrics, clock)
    now_ms = clock.now_ms()
    states = [platform.state(room, now_ms) for room in range(num_rooms)]
    tables.apply(batch_of(ROOM_STATES, [(state.room, encode(state)) for state in states]))
    profiles = [platform.profile(viewer, now_ms) for viewer in range(VIEWERS)]
    tables.apply(batch_of(VIEWER_PROFILES, [(p.viewer, encode(p)) for p in profiles]))
    recommender = Recommender(tables, RecommendConfig(), metrics, clock)
    if with_model:
        put_live(tables, recommender, num_rooms)
    return recommender


def ways(recommender: Recommender, num_rooms: int) -> dict[str, Callable[[int], object]]:
    """Every way to ask, by name; each is called with the number of its turn."""
    given, trending, viewers = GivenRooms(recommender), Trending(recommender), SeenViewers(recommender)
    rooms = [f"room-{room:06d}" for room in np.random.default_rng(1).permutation(num_rooms)[:1_000].tolist()]
    context = Context(recent=tuple(rooms[:10]), language="pt")

    def recommended(**asked: object) -> Callable[[int], object]:
        query = Query(viewer="", **asked)  # type: ignore[arg-type]
        queries = [msgspec.structs.replace(query, viewer=f"viewer-{number}") for number in range(VIEWERS)]
        return lambda turn: recommender.recommend_json(queries[turn % VIEWERS])

    def paged(turn: int) -> object:
        viewer = f"viewer-{turn % VIEWERS}"
        cursor = recommender.recommend(Query(viewer=viewer, cursor="")).cursor
        return recommender.recommend_json(Query(viewer=viewer, cursor=cursor or None))  # type: ignore[arg-type]

    def watched(turn: int) -> object:
        """A look at a list of which nothing is news."""
        query = Query(viewer=f"viewer-{turn % VIEWERS}")
        return recommender.recommend_news(query, margin_of(query.limit), lambda _: False)

    return {
        "plain": recommended(),
        "language": recommended(filters=Filters(language="pt")),
        "tags": recommended(filters=Filters(tags=("chill", "no spoilers"))),
        "audience": recommended(filters=Filters(min_audience=2, max_audience=50)),
        "age": recommended(filters=Filters(min_age_s=600, max_age_s=3_600)),
        "receipt": recommended(filters=Filters(max_receipt_age_ms=600_000)),
        "20 streamers": recommended(exclude_streamers=tuple(f"streamer-{n:06d}" for n in range(20))),
        "two pages": paged,
        "unknown": lambda _: recommender.recommend_json(Query(viewer="nobody")),
        "context": lambda _: recommender.recommend_json(Query(viewer="nobody", context=context)),
        "rank 20": lambda turn: given.rank_json(RankQuery(viewer=f"viewer-{turn % VIEWERS}", rooms=tuple(rooms[:20]))),
        "rank 1000": lambda turn: given.rank_json(RankQuery(viewer=f"viewer-{turn % VIEWERS}", rooms=tuple(rooms))),
        "trending": lambda _: msgspec.json.encode(trending.rooms(20)),
        "watched": watched,
        "viewer": lambda turn: msgspec.json.encode(viewers.viewer(f"viewer-{turn % VIEWERS}")),
    }


def microseconds(asked: dict[str, Callable[[int], object]], turns: int) -> dict[str, float]:
    """Median processor time of each way; all take their turn before one has another."""
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(turns):
        for name, ask in asked.items():
            began = time.thread_time()
            ask(turn)
            taken[name].append(time.thread_time() - began)
    return {name: float(np.median(some)) * 1e6 for name, some in taken.items()}


class NoTexts:
    """No text is asked with."""

    def held(self, text: str) -> TextVector | None:
        return None

    async def fetch(self, text: str) -> TextVector:
        raise EncoderAway(text)


async def waited_us(recommender: Recommender) -> tuple[float, float]:
    """Median and 99th percentile of the wait for the event loop while batches are answered."""
    (route,) = batch_routes(recommender, NoTexts())
    body = msgspec.json.encode({"queries": [{"viewer": f"viewer-{number}"} for number in range(MAX_QUERIES)]})
    waits: list[float] = []
    done = asyncio.Event()

    async def other() -> None:
        while not done.is_set():
            began = time.perf_counter()
            await asyncio.sleep(0)
            waits.append(time.perf_counter() - began)

    task = asyncio.create_task(other())
    for _ in range(BATCHES):
        response = route.handle(Request({}, {}, body))
        assert not isinstance(response, Response)
        await response
    done.set()
    await task
    return float(np.median(waits)) * 1e6, float(np.percentile(waits, 99)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--model", action="store_true", help="answer by a model (untrained) instead of version 0")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    recommender = filled(args.rooms, with_model=args.model)
    asked = ways(recommender, args.rooms)
    microseconds(asked, VIEWERS)  # each viewer's taste is read once
    figures = microseconds(asked, args.turns)
    wait_us, wait_p99_us = asyncio.run(waited_us(recommender))
    figures |= {"batch wait": wait_us, "batch wait p99": wait_p99_us}
    if args.json:
        print(json.dumps({name: round(value, 1) for name, value in figures.items()}))
        return
    for name, value in figures.items():
        print(f"{name:16} {value:8.1f} us {value / figures['plain']:8.2f} times a plain one")


if __name__ == "__main__":
    main()
