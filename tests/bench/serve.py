"""/v1/recommend with 10,000 live rooms against a no-op Serve ingress: same run, same mode, updates flowing meanwhile.

    python -m tests.bench.serve [--json] [--rooms N] [--replicas N] [--seconds S] [--model]

Rooms and profiles are written straight to the topics that replicas read; states go on being rewritten, as often as
that many rooms would be encoded anew (each every 30 s). Both are asked in turns, so that drift hits both.
The no-op goes through ASGI and Serve's wrapper. Recommendations do not; they are asked for by that ordinary way too, in
turns: `of_ordinary` is the median over rounds of the direct way's rate in that of the ordinary one. `replica_us` and
`ordinary_replica_us` are the processor time of the replicas' processes, updates included, in µs an answer: they tell
the two ways apart on a busy machine too.
With --model a version of realistic size takes its turn in each round after version 0, each after requests in which
the tastes of all viewers are read under it: `ratio` is the model's then, `of_v0` the median over rounds of what it is
of version 0's in the round, `first_of_v0` the same of those requests.
At the end it and version 0 go live by turns, every two seconds: `changing_p99_ms`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from deploy.config.settings import Settings
from deploy.local.system import System
from deploy.ray.local_ray import LocalRay
from streaming.archive.store import open_store
from streaming.broker import KafkaLog
from streaming.clock import SystemClock
from streaming.events import RoomState
from streaming.log.codec import encode
from streaming.log.log import Sink
from streaming.log.topics import ROOM_STATES, VIEWER_PROFILES
from tests.bench import noop
from tests.bench.load import Load, put_on
from tests.bench.platform_states import DIMENSION, SEED, VIEWERS, Platform
from tests.bench.stack import say, stack
from training.registry.manifest import V0
from training.registry.registry import OpenGate, Registry

REFRESH_S = 30.0
ANSWERED = 'tidecast_requests_total{route="/v1/recommend"'
LIMIT = 20
ORDINARY = "/v1/recommend?"  # the empty query is what makes a request ordinary (docs/serving.md)
CHANGE_S = 2.0  # between changes of the version
SETTLE_S = 5.0  # of requests after a change before one is timed, and again until each viewer was asked for


class Updates:
    """Rewrites states at a steady rate, in a thread."""

    def __init__(self, sink: Sink, states: Iterator[RoomState], per_s: float) -> None:
        self._sink = sink
        self._states = states
        self._per_s = per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self) -> Updates:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began_s = time.monotonic()
        while not self._stop.wait(0.05):
            while self.sent < (time.monotonic() - began_s) * self._per_s:
                state = next(self._states)
                self._sink.send(ROOM_STATES, state.room.encode(), encode(state))
                self.sent += 1
            self._sink.flush()


def fill(system: System, platform: Platform) -> tuple[Sink, Iterator[RoomState]]:
    """Writes all rooms and viewers and waits until the replicas have them."""
    sink = KafkaLog(system.settings.kafka, system.settings.topics.prefix).sink()
    states = platform.states()
    for _ in range(platform.rooms):
        state = next(states)
        sink.send(ROOM_STATES, state.room.encode(), encode(state))
    for profile in platform.profiles():
        sink.send(VIEWER_PROFILES, profile.viewer.encode(), encode(profile))
    sink.flush()
    client = system.client()
    deadline = time.monotonic() + 120
    while True:
        recommenders = [post for post in client.status().processes if post.name == "recommender"]
        if recommenders and all(post.detail["live_rooms"] == platform.rooms for post in recommenders):
            return sink, states
        if time.monotonic() > deadline:
            raise TimeoutError(f"the replicas do not get to {platform.rooms} rooms: {recommenders}")
        time.sleep(0.2)


class Changes:
    """Puts version 0 and the model live by turns, in a thread."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.made = 0

    def __enter__(self) -> Changes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._registry.promote("bench", OpenGate())

    def _run(self) -> None:
        while not self._stop.wait(CHANGE_S):
            self._registry.promote("bench" if self.made % 2 else V0, OpenGate())
            self.made += 1


def published(system: System, rooms: int, folder: str) -> Registry:
    """Publishes a version as large as one that has seen all streamers, as "bench"."""
    from tests.untrained import untrained  # noqa: PLC0415  torch, which the other bench does not need

    streamers = [f"streamer-{number}" for number in range(rooms)]
    log = KafkaLog(system.settings.kafka, system.settings.topics.prefix)
    registry = Registry(open_store(folder, "registry"), log, SystemClock())
    registry.publish(untrained("bench", streamers, "bench", DIMENSION))
    return registry


def put_live(system: System, registry: Registry, version: str) -> None:
    """Has the version go live and waits until every replica answers by it."""
    registry.promote(version, OpenGate())
    client, deadline = system.client(), time.monotonic() + 60
    while any(
        post.detail["model_version"] != version for post in client.status().processes if post.name == "recommender"
    ):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the replicas do not get to version {version}")
        time.sleep(0.2)


def settle(url: str, bodies: Sequence[bytes], connections: int) -> Load:
    """Asks for each viewer: a replica reads their taste once, and keeps it. Returns how the first of them went."""
    seconds, first = SETTLE_S, None
    while True:
        load = put_on(url, "/v1/recommend", bodies, seconds=seconds, connections=connections)
        first = first or load
        if load.rps * seconds >= len(bodies):
            return first
        seconds = 1.5 * len(bodies) / load.rps


class Replicas:
    """The processes that answer: the processor time that they take."""

    def __init__(self, system: System) -> None:
        self._client = system.client()
        posts = self._client.status().processes
        self._processes = [psutil.Process(post.pid) for post in posts if post.name == "recommender"]
        self._taken_s = self._answers = 0.0

    def begin(self) -> None:
        """Time is counted from here."""
        self._taken_s, self._answers = self._now_s(), self._answered()

    def us_an_answer(self) -> float:
        """Since then."""
        return (self._now_s() - self._taken_s) / max(1.0, self._answered() - self._answers) * 1e6

    def _now_s(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    def _answered(self) -> float:
        lines = self._client.metrics().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(ANSWERED))


def best(loads: Sequence[Load]) -> Load:
    """The median run by rate."""
    return sorted(loads, key=lambda load: load.rps)[len(loads) // 2]


def ratios(ours: Sequence[Load], theirs: Sequence[Load]) -> list[float]:
    """One's rate by the other's, of each round."""
    return [a.rps / b.rps for a, b in zip(ours, theirs, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--model", action="store_true", help="ask a model (untrained) too")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    settings = Settings()
    settings = dataclasses.replace(settings, http=dataclasses.replace(settings.http, replicas=args.replicas))
    with stack(settings) as system, tempfile.TemporaryDirectory(prefix="tidecast-bench-") as folder:
        sink, states = fill(system, Platform(args.rooms, time.time_ns() // 1_000_000))
        running = system.running()
        assert running is not None
        ray = LocalRay(settings.ray, Path(running.ray_folder))
        say("deploying the no-op")
        noop.deploy(ray.address, args.replicas, ray.environment())
        bodies = [b'{"viewer":"viewer-%d","limit":%d}' % (number, LIMIT) for number in range(VIEWERS)]
        random.Random(SEED).shuffle(bodies)
        loads: defaultdict[str, list[Load]] = defaultdict(list)
        took_us: defaultdict[str, list[float]] = defaultdict(list)
        processes = Replicas(system)

        def ask(name: str, path: str = "/v1/recommend", connections: int = args.connections) -> Load:
            processes.begin()
            load = put_on(system.url, path, bodies, seconds=args.seconds, connections=connections)
            took_us[name].append(processes.us_an_answer())
            say(f"{name}: {load.rps:.0f} rps, p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms")
            loads[name].append(load)
            return load

        with Updates(sink, states, args.rooms / REFRESH_S) as updates:
            registry = published(system, args.rooms, folder) if args.model else None
            for _ in range(args.rounds):
                for name, version in (("version 0", V0), ("model", "bench"))[: 2 if args.model else 1]:
                    if registry is not None:
                        put_live(system, registry, version)
                        loads[f"{name} at first"].append(settle(system.url, bodies, args.connections))
                    ask(f"no-op beside {name}", noop.PATH)
                    ask(name)
                    ask(f"{name}, the ordinary way", ORDINARY)
            noop_latency = ask("no-op, one connection", noop.PATH, 1)
            latency = ask("one connection", connections=1)
            ordinary_latency = ask("one connection, the ordinary way", ORDINARY, 1)
            if registry is not None:
                with Changes(registry) as changes:
                    changing = ask("versions changing")
                say(f"{changes.made} changes of the version")
            say(f"{updates.sent} updates")
        sink.close()
    name = "model" if args.model else "version 0"
    ours, theirs, before = loads[name], loads[f"no-op beside {name}"], loads["version 0"]
    shares, v0_shares = ratios(ours, theirs), ratios(before, loads["no-op beside version 0"])
    us, them, ordinary = best(ours), best(theirs), loads[f"{name}, the ordinary way"]
    result = {
        "rps": round(us.rps),
        "noop_rps": round(them.rps),
        "ratio": round(statistics.median(shares), 3),
        "v0_ratio": round(statistics.median(v0_shares), 3),
        "of_v0": round(statistics.median(ours / v0 for ours, v0 in zip(shares, v0_shares, strict=True)), 3),
        "ordinary_rps": round(best(ordinary).rps),
        "of_ordinary": round(statistics.median(ratios(ours, ordinary)), 3),
        "ordinary_ratio": round(statistics.median(ratios(ordinary, theirs)), 3),
        "replica_us": round(statistics.median(took_us[name])),
        "ordinary_replica_us": round(statistics.median(took_us[f"{name}, the ordinary way"])),
        "p99_ms": round(us.p99_ms, 2),
        "ordinary_p99_ms": round(best(ordinary).p99_ms, 2),
        "v0_p99_ms": round(best(before).p99_ms, 2),
        "noop_p99_ms": round(them.p99_ms, 2),
        "one_connection_p50_ms": round(latency.p50_ms, 2),
        "ordinary_one_connection_p50_ms": round(ordinary_latency.p50_ms, 2),
        "noop_one_connection_p50_ms": round(noop_latency.p50_ms, 2),
        "failed": sum(load.failed for some in loads.values() for load in some),
        "model": args.model,
        "rooms": args.rooms,
        "replicas": args.replicas,
        "updates_per_s": round(args.rooms / REFRESH_S),
    }
    if args.model:
        at_first = ratios(loads["model at first"], loads["version 0 at first"])
        result["first_of_v0"] = round(statistics.median(at_first), 3)
        result["changing_p99_ms"] = round(changing.p99_ms, 2)
    if args.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:<28} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
