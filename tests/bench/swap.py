"""Tests of what a swap costs those who ask meanwhile: latency before and during swaps, one replica, without HTTP.

    python -m tests.bench.swap [--json] [--rooms N] [--swaps N] [--exchange]

One thread asks without a pause, one applies states at the rate at which that many rooms are encoded anew, one swaps
between two versions of realistic size and back. During means: a request that overlapped a swap. How long the swapper
held the lock under which answers are made is processor time of its thread, which a busy machine does not move.

With --exchange each room is read by two encoders, and the versions read one each: every swap changes the space too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
import numpy as np

from actors.index.live_index import LiveIndex
from actors.recommend.recommender import Query, Recommender
from actors.settings import IndexConfig, RecommendConfig, TablesConfig
from actors.state.table_reader import Tables
from actors.versions.swap import Swapper
from streaming.archive.store import open_store
from streaming.clock import SystemClock
from streaming.events import ModelVersion, OtherContent, RoomState
from streaming.log.codec import encode
from streaming.log.topics import MODELS, ROOM_STATES, VIEWER_PROFILES
from streaming.metrics import MemoryMetrics
from streaming.prometheus import PrometheusMetrics
from tests.bench.recommend import DIMENSION, Platform, batch_of
from tests.untrained import untrained
from training.inference import warm_up
from training.inference.interface import ServedVersion
from training.inference.served_model import Version
from training.registry.bundle import write
from training.registry.catalog import key_of
from training.registry.registry import load_announced

VIEWERS = 2_000
REFRESH_S = 30.0
CYCLE = ("one", "two", "v0", "one", "v0", "two", "one", "two")  # forward, back to the one before, and to v0
EXCHANGE = ("one", "two")
OTHER = {"one": "bench", "two": "bench-2"}  # encoders of versions in an exchange


class TimedLock:
    """A lock that notes for how long, in processor time, threads of a name held it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._since_s = 0.0
        self.held_s: dict[str, list[float]] = defaultdict(list)

    def __enter__(self) -> bool:
        self._lock.acquire()
        self._depth += 1
        if self._depth == 1:
            self._since_s = time.thread_time()
        return True

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.held_s[threading.current_thread().name].append(time.thread_time() - self._since_s)
        self._lock.release()


class Replica:
    """What a replica process holds. models: the folder that versions are loaded from. exchange: of two encoders."""

    def __init__(self, rooms: int, models: Path, *, exchange: bool = False) -> None:
        warm_up.compile_all()  # as a replica does when it starts
        self._models, self._exchange = models, exchange
        streamers = [f"streamer-{room:06d}" for room in range(rooms)]
        for version in sorted({*CYCLE} - {"v0"}):
            encoder = OTHER[version] if exchange else "bench"
            write(untrained(version, streamers, encoder, DIMENSION), open_store(str(models)), version)
        self.clock, self.platform = SystemClock(), Platform(rooms, VIEWERS, seed=1)
        metrics = PrometheusMetrics()
        self.tables = Tables(TablesConfig(), LiveIndex(IndexConfig()), metrics, self.clock)
        self.lock = TimedLock()
        self.tables.lock = cast(threading.RLock, self.lock)
        now_ms = self.clock.now_ms()
        self.apply([self._state(room, now_ms) for room in range(rooms)])
        profiles = [self.platform.profile(viewer, now_ms) for viewer in range(VIEWERS)]
        self.tables.apply(batch_of(VIEWER_PROFILES, [(p.viewer, encode(p)) for p in profiles]))
        self.tables.current = True
        self.recommender = Recommender(self.tables, RecommendConfig(), metrics, self.clock)
        self.swaps = MemoryMetrics()  # of the swapper alone
        self.swapper = Swapper(self.tables, self._load, self.recommender.warm, metrics=self.swaps, clock=self.clock)
        self._rooms = rooms

    def _state(self, room: int, now_ms: int) -> RoomState:
        """A state of a room; in an exchange the second encoder's vectors are the first one's, backwards."""
        state = self.platform.state(room, now_ms)
        if not self._exchange:
            return state
        title, chat = (
            np.frombuffer(vector, "<f2")[::-1].tobytes() for vector in (state.title_vector, state.chat_vector)
        )
        other = OtherContent(OTHER["two"], title, chat, chat, segment_end_ms=now_ms - 400, appended_ms=now_ms - 300)
        return msgspec.structs.replace(state, other=other)

    def apply(self, states: list[RoomState]) -> None:
        self.tables.apply(batch_of(ROOM_STATES, [(state.room, encode(state)) for state in states]))

    def announce(self, version: str) -> None:
        """Says that a version is live."""
        at_ms = self.clock.now_ms()
        path = f"{self._models}/{version}"
        record = ModelVersion(name="rooms", version=version, path=path, state="live", metrics={}, at_ms=at_ms)
        self.tables.apply(batch_of(MODELS, [(key_of(record).decode(), encode(record))]))

    def _load(self, record: ModelVersion) -> ServedVersion:
        return Version(load_announced(record, str(self._models)))

    def rewritten(self) -> Iterator[RoomState]:
        """Every room again and again."""
        while True:
            for room in range(self._rooms):
                yield self._state(room, self.clock.now_ms())


class Asking(threading.Thread):
    """Asks for one viewer after the other; notes when each request began and ended."""

    def __init__(self, recommender: Recommender) -> None:
        super().__init__(daemon=True)
        self._recommender = recommender
        self.times: list[tuple[float, float]] = []
        self.versions: set[str] = set()
        self.stop = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            began_s = time.perf_counter()
            self._recommender.recommend_json(Query(viewer=f"viewer-{number * 7 % VIEWERS}"))
            self.times.append((began_s, time.perf_counter()))
            number += 1


def measure(rooms: int, swaps: int, quiet_s: float, *, exchange: bool = False) -> dict[str, float]:
    """Latencies in ms and what the swaps took."""
    with tempfile.TemporaryDirectory(prefix="tidecast-bench-") as folder:
        replica = Replica(rooms, Path(folder), exchange=exchange)
        return swap(replica, rooms, swaps, quiet_s, EXCHANGE if exchange else CYCLE)


def swap(replica: Replica, rooms: int, swaps: int, quiet_s: float, cycle: Sequence[str] = CYCLE) -> dict[str, float]:
    """Asks, updates and swaps at once."""
    stop = threading.Event()

    def update() -> None:
        states, began_s, sent = replica.rewritten(), time.monotonic(), 0
        while not stop.wait(0.05):
            due = int((time.monotonic() - began_s) * rooms / REFRESH_S)
            replica.apply([next(states) for _ in range(due - sent)])
            sent = due

    asking = Asking(replica.recommender)
    threads = [
        threading.Thread(target=update, daemon=True),
        threading.Thread(target=replica.swapper.run, args=(stop,), daemon=True, name="swapper"),
        threading.Thread(target=replica.recommender.keep_renewed, args=(stop,), daemon=True),
    ]
    for thread in (*threads, asking):
        thread.start()
    windows: list[tuple[float, float]] = []
    for number in range(swaps + 1):
        time.sleep(quiet_s)
        if number == swaps:
            break
        version = cycle[number % len(cycle)]
        began_s = time.perf_counter()
        replica.announce(version)
        while replica.swapper.status().version != version:
            time.sleep(0.0005)
        windows.append((began_s, time.perf_counter()))
    stop.set()
    asking.stop.set()
    for thread in (*threads, asking):
        thread.join()
    longest_ms = 1e3 * max(replica.lock.held_s["swapper"])
    return {
        **figures(np.array(asking.times), np.array(windows), replica.swaps),
        "longest_hold_ms": round(longest_ms, 3),
    }


def figures(times_R2: np.ndarray, windows_W2: np.ndarray, swaps: MemoryMetrics) -> dict[str, float]:
    """Figures of all requests, those that overlapped a swap apart; `after`: those of the second after one."""
    took_ms_R = (times_R2[:, 1] - times_R2[:, 0]) * 1e3
    during_R, after_R = np.zeros(len(times_R2), bool), np.zeros(len(times_R2), bool)
    for began_s, ended_s in windows_W2:
        during_R |= (times_R2[:, 1] >= began_s) & (times_R2[:, 0] <= ended_s)
        after_R |= (times_R2[:, 0] > ended_s) & (times_R2[:, 0] <= ended_s + 1)
    quiet_R = ~during_R & ~after_R
    found: dict[str, float] = {}
    for name, some_R in (("before", quiet_R), ("during", during_R), ("after", after_R)):
        some_ms = took_ms_R[some_R]
        found |= {f"{name}_p50_ms": np.median(some_ms), f"{name}_p99_ms": np.percentile(some_ms, 99)}
        found |= {f"{name}_max_ms": some_ms.max(), f"{name}_requests": len(some_ms)}
    found["p99_ratio"] = found["during_p99_ms"] / found["before_p99_ms"]
    for stage in ("load", "embed", "warm", "flip", "total"):
        seconds = swaps.observed("swap_seconds", stage=stage)
        found[f"{stage}_ms"], found[f"{stage}_max_ms"] = 1e3 * np.median(seconds), 1e3 * max(seconds)
    found["swaps"] = swaps.value("swaps_total", outcome="live")
    return {name: round(float(value), 3) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--quiet", type=float, default=2.5, help="seconds between two swaps")
    parser.add_argument("--exchange", action="store_true", help="the versions read different encoders")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    found = measure(args.rooms, args.swaps, args.quiet, exchange=args.exchange)
    if args.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:20} {value:10.3f}")


if __name__ == "__main__":
    main()
