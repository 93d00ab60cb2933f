"""The load of a bench: keep-alive connections that each ask again as soon as they are answered. Never judges.

A process of its own: `python -m tests.bench.load HOST PORT PATH SECONDS CONNECTIONS < bodies`, one JSON body per line;
prints one JSON object. It spends 30 µs a request; a no-op Serve ingress spends ten times as much.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import uvloop

WARM_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of load saw. Latencies from the whole request written to the whole answer read."""

    rps: float
    p50_ms: float
    p99_ms: float
    failed: int


def put_on(url: str, path: str, bodies: Sequence[bytes], *, seconds: float, connections: int) -> Load:
    """Runs the load in its own process and waits for it."""
    host, port = url.removeprefix("http://").split(":")
    command = [sys.executable, "-m", "tests.bench.load", host, port, path, str(seconds), str(connections)]
    done = subprocess.run(command, input=b"\n".join(bodies), stdout=subprocess.PIPE, check=True)
    return Load(**json.loads(done.stdout))


class Asker(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: itertools.cycle[bytes], until_s: float) -> None:
        self._requests = requests
        self._until_s = until_s
        self._received = b""
        self._asked_s = 0.0
        self.answered: list[tuple[float, float]] = []  # when, and after how long
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            return
        at = received.lower().find(b"content-length:", 0, head)
        end = received.find(b"\r\n", at)
        if len(received) < head + 4 + int(received[at + 15 : end]):
            return
        now_s = time.perf_counter()
        if received.startswith(b"HTTP/1.1 200"):
            self.answered.append((now_s, now_s - self._asked_s))
        else:
            self.failed += 1
        self._received = b""
        if now_s < self._until_s:
            self._ask()
        else:
            self._transport.close()

    def _ask(self) -> None:
        self._asked_s = time.perf_counter()
        self._transport.write(next(self._requests))


async def measure(host: str, port: int, requests: list[bytes], seconds: float, connections: int) -> Load:
    """Asks for `seconds` after a second of warm-up."""
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter() + WARM_UP_S
    cycle = itertools.cycle(requests)
    askers = [Asker(cycle, began_s + seconds) for _ in range(connections)]
    for asker in askers:
        await loop.create_connection(lambda asker=asker: asker, host, port)  # type: ignore[misc]
    await asyncio.sleep(WARM_UP_S + seconds + 0.5)
    taken_s = sorted(took for asker in askers for at, took in asker.answered if at >= began_s)
    return Load(
        rps=len(taken_s) / seconds,
        p50_ms=statistics.median(taken_s) * 1e3,
        p99_ms=taken_s[int(len(taken_s) * 0.99)] * 1e3,
        failed=sum(asker.failed for asker in askers),
    )


def main(argv: Sequence[str]) -> None:
    host, port, path, seconds, connections = argv
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: "
    bodies = sys.stdin.buffer.read().splitlines()
    requests = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
    load = uvloop.run(measure(host, int(port), requests, float(seconds), int(connections)))
    print(json.dumps({"rps": load.rps, "p50_ms": load.p50_ms, "p99_ms": load.p99_ms, "failed": load.failed}))


if __name__ == "__main__":
    main(sys.argv[1:])
