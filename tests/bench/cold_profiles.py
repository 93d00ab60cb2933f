"""A ProfileWorker with more viewers than its memory holds: memory, disk, starts, events a second, lookups.

On a real Kafka: profiles of made-up viewers are written to viewer-profiles, and a worker in a process of its own
starts on them. `--memory-mb 0` keeps all in memory, as a comparison. Ratios are against SQLite alone on the same files.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.profiles.profile_map import ProfileMap
from actors.profiles.store_folder import StoreFolder
from actors.profiles.worker import ProfileWorker
from actors.settings import ProfileWorkerConfig
from streaming.broker import KafkaAdmin, KafkaLog
from streaming.clock import SystemClock
from streaming.events import Action, RoomId, StreamerHabit, StreamerId, ViewerEvent, ViewerId, ViewerProfile, Visit
from streaming.kafka_config import KafkaConfig
from streaming.local_kafka import LocalKafka, LocalKafkaConfig
from streaming.log.codec import encode
from streaming.log.topic_check import check_topics
from streaming.log.topics import VIEWER_EVENTS, VIEWER_PROFILES, TopicsConfig
from streaming.metrics import MemoryMetrics
from streaming.viewer.profile_config import ProfileConfig
from tests.bench.stopping import leave_on_sigterm

ROOMS = 2_000
TEMPLATES = 2_000
LOOKUPS = 20_000
ACTIONS: tuple[Action, ...] = ("enter", "watch", "chat", "like", "leave")


def name_of(viewer: int) -> str:
    return f"v{viewer:08d}"


def templates(now_ms: int) -> list[bytes]:
    """Packed profiles of the viewer 0. Most viewers have few visits, some have all that are kept."""
    rng = random.Random(5)
    made: list[bytes] = []
    for _ in range(TEMPLATES):
        visits: list[Visit] = []
        at_ms = now_ms - rng.randrange(30 * 86_400_000)
        for number in range(min(50, int(3 * rng.paretovariate(0.9)))):
            room = int(ROOMS ** rng.random())
            began_ms = at_ms + number * 600_000
            times = began_ms, began_ms + rng.randrange(600_000), rng.randrange(600_000), rng.randrange(20), 0, 0
            visits.append(Visit(RoomId(f"room-{room:05d}-abcdef"), StreamerId(f"streamer{room:05d}"), *times))
        habits = {
            visit.streamer: StreamerHabit(visit.streamer, 1, 60_000, at_ms, False, 3, at_ms, at_ms) for visit in visits
        }
        last_ms = visits[-1].last_at_ms
        profile = ViewerProfile(
            viewer=ViewerId(name_of(0)),
            visits=tuple(visits),
            habits=tuple(habits.values()),
            room=visits[-1].room if rng.random() < 0.02 else None,
            total_visits=len(visits),
            total_events=3 * len(visits),
            first_at_ms=at_ms,
            last_at_ms=last_ms,
            recent_events=tuple(rng.getrandbits(62) for _ in range(min(16, 2 * len(visits)))),
            appended_ms=last_ms,
        )
        made.append(encode(profile))
    return made


def write_profiles(log: KafkaLog, viewers: int) -> float:
    """Writes the profiles; returns their mean size in bytes."""
    made, mine, sink = templates(SystemClock().now_ms()), name_of(0).encode(), log.sink()
    for viewer in range(viewers):
        key = name_of(viewer).encode()
        sink.send(VIEWER_PROFILES, key, made[viewer % TEMPLATES].replace(mine, key))
    sink.flush()
    sink.close()
    return statistics.fmean(map(len, made))


def write_events(log: KafkaLog, viewers: int, events: int) -> None:
    """Writes events of viewers by Zipf's law: the n-th busiest has 1/n of the busiest's."""
    rng, sink, clock = random.Random(9), log.sink(), SystemClock()
    for _ in range(events):
        viewer = ViewerId(name_of(int(viewers ** rng.random()) * 7_919 % viewers))
        room = int(ROOMS ** rng.random())
        event = ViewerEvent(
            viewer=viewer,
            room=RoomId(f"room-{room:05d}-abcdef"),
            streamer=StreamerId(f"streamer{room:05d}"),
            action=rng.choice(ACTIONS),
            at_ms=clock.now_ms(),
            seconds=30.0,
        )
        sink.send(VIEWER_EVENTS, viewer.encode(), encode(event))
    sink.flush()
    sink.close()


class Reading(MemoryMetrics):
    """Notes when events were read, and how long reads from disk took."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.first_s = self.last_s = 0.0

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        if name == "records_read_total":
            self.first_s, self.last_s = self.first_s or time.monotonic(), time.monotonic()
            self.read += int(amount)
        super().count(name, amount, **labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Keeps nothing: millions of reads would be memory of the measurement's own."""


def rss_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def run_worker(servers: str, folder: str, memory_mb: int, viewers: int, events: int) -> dict[str, float]:
    """Starts a worker, and, with events, has it read them and be asked; returns figures."""
    log, metrics, stop = KafkaLog(KafkaConfig(bootstrap_servers=servers)), Reading(), threading.Event()
    config = ProfileWorkerConfig(memory_mb=memory_mb or 1 << 20, disk_mb=1 << 20 if memory_mb else 0)
    before_mb = rss_mb()
    worker = ProfileWorker(
        log,
        "0",
        config=config,
        profile=ProfileConfig(),
        metrics=metrics,
        clock=SystemClock(),
        folder=Path(folder) if memory_mb else None,
    )
    began_s = time.monotonic()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    partitions = len(log.partitions(VIEWER_PROFILES))
    while len(worker._owned) < partitions:
        time.sleep(0.05)
    figures = {"start_s": time.monotonic() - began_s, "rss_mb": rss_mb() - before_mb}
    print(f"started: {figures}", file=sys.stderr, flush=True)
    if events:
        metrics.read, metrics.first_s = 0, 0.0
        write_events(log, viewers, events)
        while metrics.read < events:
            time.sleep(0.05)
        figures["events_per_s"] = events / (metrics.last_s - metrics.first_s)
        figures["rss_mb_after"] = rss_mb() - before_mb
        print(f"read: {figures}", file=sys.stderr, flush=True)
        time.sleep(2)  # the last commit, and what is written after it
        figures |= ask(worker, viewers)
        maps = [owned.profiles for owned in worker._owned.values()]
        figures["hot"] = sum(one.hot for one in maps)
        figures["held"] = sum(map(len, maps))
        figures["estimated_mb"] = sum(one.hot_bytes for one in maps) / 2**20
        figures["disk_mb"] = sum(one.store_bytes for one in maps) / 2**20
    stop.set()
    thread.join()
    return figures


def ask(worker: ProfileWorker, viewers: int) -> dict[str, float]:
    """Microseconds to give a profile of viewers at random, nearly all of them cold."""
    rng = random.Random(4)
    took: list[float] = []
    for _ in range(LOOKUPS):
        viewer = ViewerId(name_of(rng.randrange(viewers)))
        began_s = time.perf_counter()
        found = worker.profile(viewer)
        took.append(1e6 * (time.perf_counter() - began_s))
        if found is None:
            raise RuntimeError(f"{viewer} has no profile")
    return {"profile_us": statistics.mean(took), "profile_p99_us": statistics.quantiles(took, n=100)[98]}


def bare(folder: Path, viewers: int) -> dict[str, float]:
    """Microseconds of SQLite alone on the same files: a read, and a profile more, in transactions of 500."""
    rng, spent_s, put_s = random.Random(4), 0.0, 0.0
    paths = sorted(folder.glob("*.sqlite"))
    for path in paths:
        file = sqlite3.connect(path, isolation_level=None)
        file.execute("PRAGMA synchronous = OFF")
        ids = [rng.randrange(1, viewers // len(paths)) for _ in range(LOOKUPS // len(paths))]
        keys = [key for one in ids for (key,) in file.execute("SELECT key FROM profile WHERE id = ?", (one,))]
        began_s = time.perf_counter()
        rows = [file.execute("SELECT value FROM profile WHERE key = ?", (key,)).fetchone() for key in keys]
        spent_s += time.perf_counter() - began_s
        began_s = time.perf_counter()
        for start in range(0, len(keys), 500):
            file.execute("BEGIN")
            pairs = [(value, key) for key, (value,) in zip(keys[start:], rows[start : start + 500], strict=False)]
            file.executemany("UPDATE profile SET value = ? WHERE key = ?", pairs)
            file.execute("COMMIT")
        put_s += time.perf_counter() - began_s
        file.close()
    return {"bare_read_us": 1e6 * spent_s / LOOKUPS, "bare_update_us": 1e6 * put_s / LOOKUPS}


def child(*arguments: object) -> dict[str, float]:
    """`run_worker` in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.cold_profiles", "--child", *map(str, arguments)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(arguments[1:], {name: round(value, 1) for name, value in found.items()}, file=sys.stderr, flush=True)
    return found


def measure(servers: str, place: Path, options: argparse.Namespace) -> dict[str, float]:
    """All figures of one number of viewers."""
    log, folder = KafkaLog(KafkaConfig(bootstrap_servers=servers)), place / "profiles"
    viewers, memory_mb = options.viewers, options.memory_mb
    began_s = time.monotonic()
    figures: dict[str, float] = {"viewers": viewers, "profile_bytes": write_profiles(log, viewers)}
    print(f"wrote {viewers:,} profiles in {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    figures |= {f"empty_{k}": v for k, v in child(servers, folder, memory_mb, viewers, options.events).items()}
    if memory_mb:
        figures |= {f"warm_{k}": v for k, v in child(servers, folder, memory_mb, viewers, 0).items()}
        figures |= bare(folder, viewers)
        figures["read_ratio"] = figures["bare_read_us"] / figures["empty_profile_us"]
    return figures


def measure_map(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """The map of one partition alone, without Kafka: filled as a restart fills it, opened again, used by Zipf's law."""
    clock, metrics, viewers = SystemClock(), Reading(), options.viewers
    stores = StoreFolder(folder, metrics, clock)
    made, mine = templates(clock.now_ms()), name_of(0).encode()
    budget_bytes, before_mb, figures = options.memory_mb << 20, rss_mb(), dict[str, float]()

    def opened() -> ProfileMap:
        if not budget_bytes:
            return ProfileMap(0, metrics, clock)
        return ProfileMap(0, metrics, clock, folder=stores, made=1, partitions=1, budget_bytes=budget_bytes)

    profiles, began_s = opened(), time.monotonic()
    for viewer in range(viewers):
        key = name_of(viewer).encode()
        profiles[key] = made[viewer % TEMPLATES].replace(mine, key)
    profiles.restored(viewers)
    figures |= {"viewers": viewers, "profile_bytes": statistics.fmean(map(len, made))}
    figures |= {"fill_s": time.monotonic() - began_s, "rss_mb": rss_mb() - before_mb}
    if budget_bytes:
        profiles.close(keep=True)
        profiles, began_s = opened(), time.monotonic()
        figures["reused_offset"] = profiles.reuse()
        profiles.restored(viewers)
        present = sum(1 for _ in profiles.present())
        figures |= {"reuse_s": time.monotonic() - began_s, "present": present}
    rng, spent_s = random.Random(9), 0.0
    for _ in range(options.events // 1_000):  # a thousand different viewers' profiles are read, changed and committed
        keys = [name_of(int(viewers ** rng.random()) * 7_919 % viewers).encode() for _ in range(1_000)]
        began_s = time.monotonic()
        for key in keys:
            value = profiles.get(key)
            assert value is not None
            profiles.put(key, value)
        profiles.confirm()
        profiles.tidy(time.monotonic())
        spent_s += time.monotonic() - began_s
    took: list[float] = []
    for _ in range(LOOKUPS):
        key = name_of(rng.randrange(viewers)).encode()
        began_s = time.perf_counter()
        profiles.peek(key)
        took.append(1e6 * (time.perf_counter() - began_s))
    figures |= {"change_us": 1e6 * spent_s / options.events, "held": len(profiles), "hot": profiles.hot}
    figures |= {"peek_us": statistics.fmean(took), "peek_p99_us": statistics.quantiles(took, n=100)[98]}
    figures |= {"disk_mb": profiles.store_bytes / 2**20, "rss_mb_after": rss_mb() - before_mb}
    profiles.close(keep=True)
    if budget_bytes:
        figures |= bare(folder, viewers)
        figures["read_ratio"] = figures["bare_read_us"] / figures["peek_us"]
    return figures


def main(arguments: Sequence[str]) -> None:
    """One JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=5_000_000)
    parser.add_argument("--memory-mb", type=int, default=512, help="0: all in memory")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--place", type=Path, default=None, help="on a disk with 4 KB for each viewer")
    parser.add_argument("--map", action="store_true", help="the map of one partition alone, without Kafka")
    parser.add_argument("--json", action="store_true", help="taken for the other benches' sake: it is always so")
    options = parser.parse_args(arguments)
    leave_on_sigterm()
    place = Path(tempfile.mkdtemp(prefix="cold-profiles-", dir=options.place))
    try:
        if options.map:
            figures = measure_map(place / "profiles", options)
            print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
            return
        config = LocalKafkaConfig(folder=str(place / "kafka"), port=0, controller_port=0)
        with LocalKafka(config) as broker:
            with KafkaAdmin(KafkaConfig(bootstrap_servers=broker.bootstrap_servers)) as admin:
                check_topics(admin, TopicsConfig())
            figures = measure(broker.bootstrap_servers, place, options)
    finally:
        shutil.rmtree(place)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        servers, folder, *numbers = sys.argv[2:]
        result: Any = run_worker(servers, folder, *map(int, numbers))
        print(json.dumps(result))
    else:
        main(sys.argv[1:])
