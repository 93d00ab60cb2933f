"""Measures events/s over HTTP into Kafka beside a bare kafka-python producer of the same records, in one run.

The whole ASGI application runs on uvicorn in a process of its own; callers in threads send ready-made bodies, each on
one connection. The bare producer has the same keys and values ready-made, and flushes after each 1,000, or once.
Server, callers and broker share this machine. The ways take turns; figures are medians. Then a probe of the same server
is timed without events and at 20,000 events/s: how long any other request waits for the interpreter.

    python -m tests.bench.http_intake --json
    python -m tests.bench.http_intake --parts     # µs of processor time an event, of each step in the server
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import http.client
import itertools
import json
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
from kafka import KafkaProducer

from actors.intake.admission import Admission
from actors.settings import IntakeConfig
from deploy.http.batch import Batches
from deploy.http.verdict import Judge
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.events import RoomId, StreamerId, ViewerEvent, ViewerId
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.codec import Decoder, encode
from streaming.log.topic_check import check_topics
from streaming.log.topics import VIEWER_EVENTS, TopicsConfig
from streaming.machine.ports import free_port
from streaming.prometheus import PrometheusMetrics
from streaming.record_format.record_packer import RecordPacker
from tests.bench.stopping import leave_on_sigterm

AIM_EVENTS_PER_S = 20_000
NUM_VIEWERS, NUM_ROOMS = 50_000, 2_000
LINES = {"Content-Type": "application/x-ndjson"}


@dataclass(frozen=True)
class Way:
    """A way of sending events: how they are put into bodies, and how many callers send these at a time."""

    name: str
    batch: int
    callers: int
    form: str = "array"  # or lines, gzip
    keyed: bool = False  # with an Idempotency-Key


WAYS = (
    Way("array", 1_000, 4),
    Way("array_one_caller", 1_000, 1),
    Way("lines", 1_000, 4, "lines"),
    Way("gzip", 1_000, 4, "gzip"),
    Way("keyed", 1_000, 4, keyed=True),
    Way("batches_of_100", 100, 8),
    Way("single", 1, 16),
)


def events(count: int) -> list[tuple[bytes, bytes]]:
    """Keys and values of viewers' events."""
    now_ms = time.time_ns() // 1_000_000
    return [
        (
            f"viewer-{n % NUM_VIEWERS}".encode(),
            encode(
                ViewerEvent(
                    viewer=ViewerId(f"viewer-{n % NUM_VIEWERS}"),
                    room=RoomId(f"room-{n % NUM_ROOMS}-1a22bfdf4cc"),
                    streamer=StreamerId(f"streamer-{n % NUM_ROOMS}"),
                    action="watch",
                    at_ms=now_ms,
                    seconds=30.0,
                )
            ),
        )
        for n in range(count)
    ]


def serve(bootstrap_servers: str, port: int) -> None:
    """Runs the server until it is killed."""
    from actors.intake.intake import Intake  # noqa: PLC0415  in the server's process alone
    from tests.served_api import server_of  # noqa: PLC0415
    from tests.served_intake import api_of  # noqa: PLC0415

    config, metrics = IntakeConfig(), PrometheusMetrics()
    intake = Intake(KafkaLog(KafkaConfig(bootstrap_servers=bootstrap_servers)), config, SystemClock(), metrics)
    server_of(api_of(intake, config, metrics), port).run()


def bodies(values: Sequence[bytes], way: Way) -> list[bytes]:
    """The values as bodies of requests."""
    found = []
    for start in range(0, len(values), way.batch):
        part = values[start : start + way.batch]
        body = b"\n".join(part) if way.form == "lines" else b"[" + b",".join(part) + b"]"
        found.append(gzip.compress(body, 1) if way.form == "gzip" else body)
    return found


def over_http(port: int, ready: Sequence[bytes], way: Way) -> float:
    """Seconds until every body is answered."""
    headers = {"gzip": {"Content-Encoding": "gzip"}, "lines": LINES}.get(way.form, {})
    queue = iter(enumerate(ready))
    lock = threading.Lock()

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            with lock:
                number, body = next(queue, (0, None))
            if body is None:
                break
            key = {"Idempotency-Key": f"{time.monotonic_ns()}-{number}"} if way.keyed else {}
            connection.request("POST", f"/v1/{VIEWER_EVENTS}", body, {**headers, **key})
            response = connection.getresponse()
            said = response.read()
            assert response.status == 200, said[:500]
        connection.close()

    began_s = time.monotonic()
    with ThreadPoolExecutor(way.callers) as pool:
        for ended in [pool.submit(call) for _ in range(way.callers)]:
            ended.result()
    return time.monotonic() - began_s


def bare(config: KafkaConfig, records: Sequence[tuple[bytes, bytes]], flush_every: int) -> float:
    """Seconds that kafka-python takes, with the settings that Tidecast gives it. flush_every: 0 for once."""
    producer = KafkaProducer(
        bootstrap_servers=config.bootstrap_servers, compression_type="lz4", batch_size=131_072, linger_ms=5
    )
    began_s = time.monotonic()
    for number, (key, value) in enumerate(records, 1):
        producer.send(VIEWER_EVENTS, value=value, key=key)
        if flush_every and not number % flush_every:
            producer.flush()
    producer.flush()
    took_s = time.monotonic() - began_s
    producer.close()
    return took_s


def measure(config: KafkaConfig, port: int, count: int, rounds: int) -> dict[str, float]:
    """Events a second of each way, medians."""
    records = events(count)
    values = [value for _, value in records]
    few = max(1, count // 25)  # of singles, which take long
    ready = {way: bodies(values[: few if way.batch == 1 else count], way) for way in WAYS}
    ways: dict[str, Callable[[], float]] = {
        way.name: lambda way=way: len(ready[way]) * way.batch / over_http(port, ready[way], way)  # type: ignore[misc]
        for way in WAYS
    }
    ways["bare"] = lambda: count / bare(config, records, 0)
    ways["bare_flushed_by_1000"] = lambda: count / bare(config, records, 1_000)
    over_http(port, ready[WAYS[0]][:10], WAYS[0])  # opens the log
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, rate in ways.items():
            found[name].append(rate())
    return {name: statistics.median(rates) for name, rates in found.items()}


def probed(port: int, seconds: float, ready: Sequence[bytes], rate: float) -> list[float]:
    """Milliseconds of each probe, some 200 a second, while bodies of 1,000 are posted at `rate` events a second."""
    stop = threading.Event()

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        began_s = time.monotonic()
        for number in itertools.count():
            if stop.wait(max(0.0, began_s + number * 1_000 / rate - time.monotonic())):
                break
            connection.request("POST", f"/v1/{VIEWER_EVENTS}", ready[number % len(ready)])
            connection.getresponse().read()
        connection.close()

    caller = threading.Thread(target=call)
    if rate:
        caller.start()
    connection, found = http.client.HTTPConnection("127.0.0.1", port, timeout=30), []
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        began_s = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        found.append((time.perf_counter() - began_s) * 1_000)
        time.sleep(0.005)
    stop.set()
    if rate:
        caller.join()
    connection.close()
    return found


def waits(port: int, ready: Sequence[bytes]) -> dict[str, float]:
    """Medians and 99th percentiles of a probe, without events and with them."""
    figures = {}
    for name, rate in (("idle", 0.0), ("busy", float(AIM_EVENTS_PER_S))):
        found = sorted(probed(port, 8.0, ready, rate))
        figures |= {
            f"probe_{name}_p50_ms": found[len(found) // 2],
            f"probe_{name}_p99_ms": found[len(found) * 99 // 100],
        }
    return figures


def parts(rounds: int) -> dict[str, float]:
    """Processor time of each step for a batch of 1,000, µs an event, medians."""
    metrics, clock = PrometheusMetrics(), SystemClock()
    body = bodies([value for _, value in events(1_000)], WAYS[0])[0]
    packed = gzip.compress(body, 1)
    batches, admission, judge = Batches(10_000, 8 << 20), Admission(VIEWER_EVENTS, clock, metrics), Judge(VIEWER_EVENTS)
    values = batches.values(body, packed=False, lines=False)
    admitted = admission.check(values)
    packer = RecordPacker(131_072)
    steps: dict[str, Callable[[], object]] = {
        "cut": lambda: batches.values(body, packed=False, lines=False),
        "unpack_and_cut": lambda: batches.values(packed, packed=True, lines=False),
        "digest": lambda: hashlib.blake2b(b"\n".join(values), digest_size=16).digest(),
        "decode": lambda: Decoder(VIEWER_EVENTS).all(values),
        "check": lambda: admission.check(values),
        "check_with_ids": lambda: admission.check(values, "key"),
        "pack": lambda: list(packer.pack(admitted.records)),
        "answer": lambda: msgspec.json.encode(judge.verdicts(admitted.receipt)),
    }
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds * 20):
        for name, step in steps.items():
            began_s = time.process_time()
            step()
            found[name].append((time.process_time() - began_s) * 1e6 / 1_000)
    return {name: statistics.median(costs) for name, costs in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="of each way in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", action="store_true", help="where the time goes")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    leave_on_sigterm()
    if args.parts:
        for name, cost_us in parts(args.rounds).items():
            print(f"{name:16} {cost_us:6.2f} us an event")
        return 0
    with (
        tempfile.TemporaryDirectory(prefix="tidecast-bench-") as folder,
        LocalKafka(LocalKafkaConfig(folder=folder, port=0, controller_port=0)) as kafka,
    ):
        config = KafkaConfig(bootstrap_servers=kafka.bootstrap_servers)
        with KafkaAdmin(config) as admin:
            check_topics(admin, TopicsConfig())
        port = free_port()
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(kafka.bootstrap_servers, port), daemon=True
        )
        server.start()
        try:
            _await(port)
            rates = measure(config, port, args.events // 1_000 * 1_000, args.rounds)
            probe = waits(port, bodies([value for _, value in events(50_000)], WAYS[0]))
        finally:
            server.terminate()
            server.join()
    ratio = rates["array"] / rates["bare"]
    for name, rate in rates.items():
        print(f"{name:22} {rate:9,.0f} events/s  {rate / rates['bare']:5.2f} of the bare producer")
    print(f"aim: {AIM_EVENTS_PER_S:,} in batches of 1,000")
    for name, value in probe.items():
        print(f"{name:22} {value:9.2f}")
    if args.json:
        figures: dict[str, float] = {f"{name}_per_s": round(rate) for name, rate in rates.items()}
        figures |= {name: round(value, 2) for name, value in probe.items()}
        print(json.dumps({**figures, "ratio": round(ratio, 2), "load_1m": round(os.getloadavg()[0], 1)}))
    return 0


def _await(port: int) -> None:
    deadline_s = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
