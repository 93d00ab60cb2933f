"""What a system costs in which nothing happens: processor time by process, as shares of a core.

    python -m tests.bench.idle [--rooms N] [--seconds S] [--json]

Starts a system of its own, gives it N live rooms with a little chat each, waits until that is served, and measures what
its processes use in S seconds of silence, by the kernel's own accounting. Then the same of what it stands on: the same
Ray and the same Kafka, with as many replicas that do nothing and a log that nobody reads.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import psutil

from deploy.config.settings import Settings
from deploy.http.client import Client
from deploy.local.system import System
from deploy.ray.local_ray import LocalRay
from streaming.broker import KafkaLog
from streaming.events import ChatMessage, RoomStarted
from streaming.local_kafka import LocalKafka
from streaming.log.codec import encode
from streaming.log.topics import CHAT, ROOMS
from streaming.machine.ports import free_port
from tests.bench import noop
from tests.bench.stack import say, stack

SETTLE_S = 15.0  # vectors, the last transactions, and what starts late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=9, help="live rooms (9)")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it is measured (30)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    args = parser.parse_args()
    with stack(Settings()) as system:
        fill(system, args.rooms)
        say(f"{args.rooms} rooms are live; silence for {SETTLE_S + args.seconds:.0f} s")
        time.sleep(SETTLE_S)
        cores = measured(system.pids(), args.seconds)
    settings = system.settings
    replicas = settings.http.replicas + settings.ray.room_workers + settings.ray.profile_workers + settings.ray.encoders
    bare = bare_cores(replicas, args.seconds)
    total, floor = sum(cores.values()), sum(bare.values())
    if args.json:
        totals = {"total": round(total, 4), "bare_total": round(floor, 4), "ratio": round(total / floor, 3)}
        print(json.dumps({"rooms": args.rooms, "seconds": args.seconds, "cores": cores, "bare": bare, **totals}))
        return
    for name in sorted(cores | bare, key=lambda one: -cores.get(one, 0.0)):
        print(f"{name:<40}{cores.get(name, 0.0):8.3f} of a core, bare {bare.get(name, 0.0):6.3f}")
    print(f"{'all':<40}{total:8.3f} of a core, bare {floor:6.3f}, {args.rooms} rooms live")


def fill(system: System, rooms: int) -> None:
    """Starts rooms with five lines of chat each; returns once all are served."""
    log = KafkaLog(system.settings.kafka, system.settings.topics.prefix)
    sink, now_ms = log.sink(), time.time_ns() // 1_000_000
    for n in range(rooms):
        room = f"room-{n}"
        started = RoomStarted(room=room, streamer=f"streamer-{n}", at_ms=now_ms, title=f"room number {n}")
        sink.send(ROOMS, room.encode(), encode(started))
        for line in range(5):
            said = ChatMessage(room=room, viewer=f"viewer-{line}", text=f"line {line} of room {n}", at_ms=now_ms)
            sink.send(CHAT, room.encode(), encode(said))
    sink.flush()
    sink.close()
    deadline = time.monotonic() + 60
    with contextlib.closing(Client(system.url)) as client:
        while len(client.rooms(limit=100)) < rooms:
            if time.monotonic() > deadline:
                sys.exit(f"not all of {rooms} rooms are served after a minute")
            time.sleep(0.2)


def bare_cores(replicas: int, seconds: float) -> Mapping[str, float]:
    """What `measured` gives for Ray Serve with replicas that do nothing, and a Kafka that nobody asks."""
    settings = Settings()
    with tempfile.TemporaryDirectory(prefix="tidecast-bench-") as folder, contextlib.ExitStack() as stops:
        kafka = LocalKafka(dataclasses.replace(settings.local_kafka, folder=folder, port=0, controller_port=0))
        stops.callback(kafka.kill)
        kafka.start()
        ray = LocalRay(settings.ray, limits=settings.http.limits)
        stops.callback(ray.kill)
        ray.start()
        noop.deploy(ray.address, replicas, ray.environment(), free_port())
        say(f"Ray Serve with {replicas} replicas that do nothing; silence for {SETTLE_S + seconds:.0f} s")
        time.sleep(SETTLE_S)
        return measured(ray.pids(), seconds)


def measured(of: Sequence[int], seconds: float) -> Mapping[str, float]:
    """Cores used by each of these processes and by Kafka, by name; processes of one name are summed."""
    pids = [*of, *_kafka()]
    before = {pid: _used_s(pid) for pid in pids}
    began_s = time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - began_s
    cores: dict[str, float] = {}
    for pid, used_s in before.items():
        now_s = _used_s(pid)
        if used_s is not None and now_s is not None:
            name = _name(pid)
            cores[name] = cores.get(name, 0.0) + (now_s - used_s) / took_s
    return {name: round(share, 4) for name, share in cores.items() if share >= 0.0005}


def _kafka() -> list[int]:
    """The broker that the bench has started: the only Java below this process."""
    return [child.pid for child in psutil.Process().children(recursive=True) if "java" in child.name()]


def _used_s(pid: int) -> float | None:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return None
    return float(times.user + times.system)


def _name(pid: int) -> str:
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return "ended"
    first = words[0] if words else "?"
    if first.startswith("ray::"):
        return re.split(r"[\[.]", first.removeprefix("ray::"))[0].strip()
    if first.endswith("java"):
        return "Kafka"
    script = next((word for word in words if word.endswith(".py") or word.endswith(("gcs_server", "raylet"))), first)
    return script.rsplit("/", 1)[-1]


if __name__ == "__main__":
    main()
