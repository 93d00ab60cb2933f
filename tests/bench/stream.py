"""2,000 watched lists on one replica: its processor time, and from a change to the push, beside a bare SSE server.

    python -m tests.bench.stream [--streams N] [--rooms N] [--seconds S] [--json]

The replica is the ASGI application on uvicorn, in a process of its own, without Serve and HAProxy. Its tables are fed
from a thread, with as many new states as so many rooms have when each is encoded anew every 30 s; each has another
vector and another audience, so lists change far more than on a platform. This process holds the clients. Measured in
turn: recommendations without streams; streams while rooms change; streams whose viewers do something that changes their
list; the room that most lists have ends; recommendations beside all streams. Then a server of Starlette that only
copies bytes to as many clients sends events of the same size at the same rate.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import cast

import msgspec
import numpy as np
import psutil
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Recommender
from actors.recommend.schema import Query
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import Tables
from actors.streams.table_changes import TableChanges
from deploy.config.stream_settings import StreamConfig
from deploy.http.api import Api
from deploy.http.routes.answers import answer_routes
from deploy.http.streams.stream_route import stream_routes
from deploy.http.streams.streams import Streams
from streaming.clock import SystemClock
from streaming.events import RoomState, ViewerId
from streaming.log.codec import encode
from streaming.log.topics import ROOM_STATES, VIEWER_PROFILES
from streaming.machine.ports import free_port
from streaming.prometheus import PrometheusMetrics
from tests.bench.load import Load, put_on
from tests.bench.platform_states import VIEWERS, Platform
from tests.bench.recommend import batch_of
from tests.bench.stopping import leave_on_sigterm
from tests.unit.deploy.http.called_api import FakeTexts

REFRESH_S = 30.0
LIMIT = 20
PATIENCE_S = 120.0
LIST, ENDED = b"event: list", b"event: ended"


def run(application: object, port: int) -> None:
    """Serves on this thread, as Serve's replicas do."""
    config = uvicorn.Config(application, port=port, log_level="critical", lifespan="off", loop="uvloop", ws="none")  # type: ignore[arg-type]
    uvicorn.Server(config).run()


class Feed:
    """The thread that feeds the replica's tables, and does what it is told."""

    def __init__(self, tables: Tables, recommender: Recommender, rooms: int) -> None:
        self._tables = tables
        self._recommender = recommender
        platform = Platform(rooms, time.time_ns() // 1_000_000)
        self._states: Iterator[RoomState] = platform.states()
        self._rate = rooms / REFRESH_S
        self._show(list(itertools.islice(self._states, rooms)))
        self._profiles = list(platform.profiles())
        self._know(range(VIEWERS), 0)
        self._order = random.Random(1)

    def _show(self, states: Sequence[RoomState]) -> None:
        self._tables.apply(batch_of(ROOM_STATES, [(state.room, encode(state)) for state in states]))

    def _know(self, viewers: Sequence[int], other: int) -> None:
        """Gives viewers the past of another one, who likes another category."""
        known = [
            msgspec.structs.replace(self._profiles[(viewer + other) % VIEWERS], viewer=ViewerId(f"viewer-{viewer}"))
            for viewer in viewers
        ]
        self._tables.apply(batch_of(VIEWER_PROFILES, [(one.viewer, encode(one)) for one in known]))

    def _most_shown(self) -> str:
        """The room that is in the most lists."""
        queries = [Query(viewer=f"viewer-{viewer}", limit=LIMIT) for viewer in range(0, 2_000, 10)]
        ((room, _),) = Counter(
            item.room for query in queries for item in self._recommender.recommend(query).rooms
        ).most_common(1)
        return room

    def obey(self, orders: Connection) -> None:
        """Renews rooms until the other end closes; does something for each (viewers per second, seconds) and "end"."""
        began_s, sent = time.monotonic(), 0
        done: list[tuple[int, int]] = []
        per_s, until_s, next_s = 0.0, 0.0, 0.0
        while True:
            if orders.poll(0.005):
                order = orders.recv()
                if order == "end":
                    most_shown = self._most_shown()
                    orders.send([(-1, time.time_ns())])
                    self._tables.apply(batch_of(ROOM_STATES, [(most_shown, None)]))  # type: ignore[list-item]
                else:
                    per_s, until_s, next_s = order[0], time.monotonic() + order[1], time.monotonic()
            now_s = time.monotonic()
            if due := int((now_s - began_s) * self._rate) - sent:
                self._show(list(itertools.islice(self._states, due)))
                sent += due
            while until_s and next_s <= now_s:
                viewer = self._order.randrange(order[2])
                done.append((viewer, time.time_ns()))
                self._know([viewer], self._order.randrange(1, 30))
                next_s += 1 / per_s
            if until_s and now_s >= until_s:
                orders.send(done)
                done, until_s = [], 0.0


def replica(port: int, rooms: int, orders: Connection) -> None:
    """The process of the replica."""
    clock, metrics = SystemClock(), PrometheusMetrics()
    tables = Tables(TablesConfig(), LiveIndex(IndexConfig()), metrics, clock)
    recommender = Recommender(tables, RecommendConfig(), metrics, clock)
    feed = Feed(tables, recommender, rooms)
    threading.Thread(target=feed.obey, args=(orders,), daemon=True).start()
    streams = Streams(recommender, TableChanges(tables), StreamConfig(most=4_000), metrics)
    run(Api([*answer_routes(recommender, FakeTexts()), *stream_routes(streams)], 1 << 20, metrics), port)


def bare(port: int, orders: Connection) -> None:
    """The process of a server that copies bytes to its clients: (events per second, seconds, clients, bytes each)."""
    queues: dict[int, asyncio.Queue[bytes]] = {}

    async def events(request: Request) -> StreamingResponse:
        queue = queues[int(request.path_params["viewer"].rpartition("-")[2])] = asyncio.Queue()

        async def chunks() -> AsyncIterator[bytes]:
            yield b"event: list\n\n"
            while True:
                yield await queue.get()

        return StreamingResponse(chunks(), media_type="text/event-stream")

    async def obeying() -> None:
        order_of = random.Random(1)
        while True:
            per_s, seconds, clients, size = await asyncio.to_thread(orders.recv)
            done, body = [], b"event: list\ndata: " + b"x" * (size - 20) + b"\n\n"
            if not seconds:
                done.append((-1, time.time_ns()))
                for queue in queues.values():
                    queue.put_nowait(b"event: ended\nid: " + b"x" * 130 + b'\ndata: {"rooms":["room-12"]}\n\n')
            began_s = time.monotonic()
            for number in range(int(per_s * seconds)):
                await asyncio.sleep(max(0.0, began_s + number / per_s - time.monotonic()))
                viewer = order_of.randrange(clients)
                done.append((viewer, time.time_ns()))
                queues[viewer].put_nowait(body)
            orders.send(done)

    inner = Starlette(routes=[Route("/v1/stream/{viewer}", events)])
    began: list[asyncio.Task[None]] = []

    async def application(scope: object, receive: object, send: object) -> None:
        if not began:
            began.append(asyncio.create_task(obeying()))
        await inner(scope, receive, send)  # type: ignore[arg-type]

    run(application, port)


@dataclass(eq=False)
class Client(asyncio.Protocol):
    """One client: notes when events come."""

    request: bytes
    lists: list[int] = field(default_factory=list)  # ns
    ended: list[int] = field(default_factory=list)
    received: int = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self.request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.time_ns()
        self.received += len(data)
        self.lists += [now_ns] * data.count(LIST)
        self.ended += [now_ns] * data.count(ENDED)


async def opened(port: int, number: int) -> list[Client]:
    """Clients, each of which has had its first event."""
    clients = []
    for viewer in range(number):
        request = f"GET /v1/stream/viewer-{viewer}?limit={LIMIT} HTTP/1.1\r\nHost: x\r\n\r\n"
        client = Client(request.encode())
        await asyncio.get_running_loop().create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
        clients.append(client)
    async with asyncio.timeout(PATIENCE_S):
        while not all(client.lists for client in clients):
            await asyncio.sleep(0.05)
    return clients


class Server:
    """A server's process, and what it takes."""

    def __init__(self, target: object, *args: object) -> None:
        self.port = free_port()
        self.orders, theirs = multiprocessing.get_context("spawn").Pipe()
        made = multiprocessing.get_context("spawn").Process
        self.process = made(target=target, args=(self.port, *args, theirs), daemon=True)  # type: ignore[arg-type]
        self.process.start()
        self._taken_s, self._at_s = 0.0, 0.0

    async def up(self) -> None:
        """Waits until it listens."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    return

    def cores(self) -> float:
        """Cores taken since the last call."""
        times, now_s = psutil.Process(self.process.pid).cpu_times(), time.monotonic()
        taken_s = times.user + times.system
        cores = (taken_s - self._taken_s) / max(1e-9, now_s - self._at_s)
        self._taken_s, self._at_s = taken_s, now_s
        return cores

    async def ordered(self, order: object) -> list[tuple[int, int]]:
        """What was done for an order: who, and when in ns."""
        self.orders.send(order)
        done: list[tuple[int, int]] = await asyncio.to_thread(self.orders.recv)
        return done


def waits_ms(clients: Sequence[Client], done: Sequence[tuple[int, int]]) -> list[float]:
    """From each change to the next list of its client, in ms, sorted. Changes so soon after another are one."""
    waits = []
    for viewer, at_ns in done:
        after = [came_ns for came_ns in clients[viewer].lists if came_ns >= at_ns]
        if after:
            waits.append((after[0] - at_ns) / 1e6)
    return sorted(waits)


def percentiles(name: str, values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    p50, p99 = np.percentile(values, (50, 99))
    return {f"{name}_p50_ms": round(float(p50), 1), f"{name}_p99_ms": round(float(p99), 1)}


async def changed(
    server: Server, clients: Sequence[Client], per_s: float, seconds: float, *more: int
) -> dict[str, float]:
    """Processor time and waits while so many clients a second are sent a new list."""
    before = sum(len(client.lists) for client in clients)
    server.cores()
    done = await server.ordered((per_s, seconds, len(clients), *more))
    cores = server.cores()
    await asyncio.sleep(2.0)
    pushed = sum(len(client.lists) for client in clients) - before
    waits = waits_ms(clients, done)
    return {
        "cores": round(cores, 3),
        "lists": pushed,
        "seen": round(len(waits) / len(done), 3),
        **percentiles("push", waits),
    }


async def ended(server: Server, clients: Sequence[Client], order: object) -> dict[str, float]:
    """Waits for the event that a room has ended, of all who had it."""
    ((_, at_ns),) = await server.ordered(order)
    await asyncio.sleep(3.0)
    waits = [(client.ended[0] - at_ns) / 1e6 for client in clients if client.ended]
    return {"clients": len(waits), **percentiles("ended", waits)}


def asked(server: Server, seconds: float) -> Load:
    bodies = [b'{"viewer":"viewer-%d","limit":%d}' % (number, LIMIT) for number in range(VIEWERS)]
    return put_on(f"http://127.0.0.1:{server.port}", "/v1/recommend", bodies, seconds=seconds, connections=2)


async def measure(streams: int, rooms: int, seconds: float, per_s: float) -> dict[str, float]:
    """All figures."""
    ours = Server(replica, rooms)
    await ours.up()
    await asyncio.to_thread(asked, ours, seconds)  # each viewer's profile is read once
    alone = await asyncio.to_thread(asked, ours, seconds)
    began_s = time.monotonic()
    clients = await opened(ours.port, streams)
    first_s = time.monotonic() - began_s
    await asyncio.sleep(5.0)
    before = sum(len(client.lists) for client in clients)
    ours.cores()
    await asyncio.sleep(seconds)
    quiet_cores, quiet = ours.cores(), sum(len(client.lists) for client in clients) - before
    busy = await changed(ours, clients, per_s, seconds)
    size = sum(client.received for client in clients) // max(1, sum(len(client.lists) for client in clients))
    over = await ended(ours, clients, "end")
    beside = await asyncio.to_thread(asked, ours, seconds)
    ours.process.kill()
    theirs = Server(bare)
    await theirs.up()
    clients = await opened(theirs.port, streams)
    theirs_busy = await changed(theirs, clients, per_s, seconds, size)
    theirs_over = await ended(theirs, clients, (0.0, 0.0, streams, size))
    theirs.process.kill()
    return {
        "streams": streams,
        "rooms": rooms,
        "first_lists_s": round(first_s, 1),
        "quiet_cores": round(quiet_cores, 3),
        "quiet_lists_per_s": round(quiet / seconds, 1),
        **{f"busy_{name}": value for name, value in busy.items()},
        **{f"end_{name}": value for name, value in over.items()},
        "bytes_a_list": size,
        **{f"bare_{name}": value for name, value in theirs_busy.items()},
        **{f"bare_end_{name}": value for name, value in theirs_over.items()},
        "push_ratio": round(busy["push_p50_ms"] / theirs_busy["push_p50_ms"], 1),
        "end_ratio": round(over["ended_p99_ms"] / theirs_over["ended_p99_ms"], 2),
        "recommend_rps": round(alone.rps),
        "recommend_p99_ms": round(alone.p99_ms, 2),
        "beside_rps": round(beside.rps),
        "beside_p99_ms": round(beside.p99_ms, 2),
        "load_1m": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=2_000)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of one measurement")
    parser.add_argument("--per-s", type=float, default=20.0, help="viewers a second who do something")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    leave_on_sigterm()
    figures = asyncio.run(measure(args.streams, args.rooms, args.seconds, args.per_s))
    if args.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:<24} {value}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
