"""The most simulated live rooms whose vectors are never older than 30 s while they have new text.

    python -m tests.bench.capacity [--json] [--start N] [--chat-per-room-s R] [--seconds S]

The number of rooms is doubled until the workers say that rooms are stale, then the gap is halved. A number is kept if,
after a warm-up in which all rooms start at once, at no moment more than one room in a thousand is stale.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from deploy.config.settings import Settings
from deploy.local.system import System
from tests.bench.stack import say, stack

WARM_UP_S = 45.0  # every room's title and first window are due at once
TOLERATED = 1_000  # one room in so many may be late for a moment
CLOSE_ENOUGH = 1.15


@dataclass(frozen=True, slots=True)
class Step:
    """What one number of rooms led to. stale: the most at one moment after the warm-up."""

    rooms: int
    live: int
    stale: int
    backlog: int
    texts_per_s: float
    lag: int

    @property
    def kept(self) -> bool:
        """Whether the vectors kept up."""
        return self.stale <= self.live / TOLERATED and self.live >= self.rooms * 0.8


@contextlib.contextmanager
def simulating(system: System, rooms: int, chat_per_room_s: float, *options: str) -> Iterator[None]:
    """`tidecast simulate` with that many rooms, in its own process; its rooms end with it."""
    command = [sys.executable, "-m", "deploy.cli", "simulate", "--rooms", str(rooms), *options]
    command += ["--chat-per-room-s", str(chat_per_room_s), "--viewers", str(max(1_000, rooms * 5))]
    command += ["--talking-share", "0"]  # chat alone, as in the figures of docs/performance.md
    overrides = {"TIDECAST_KAFKA__BOOTSTRAP_SERVERS": system.settings.kafka.bootstrap_servers}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **overrides}, stdout=log, stderr=log)
        try:
            yield
            if process.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"the simulation ended: {log.read()[-500:].decode()}")
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def measure(system: System, rooms: int, chat_per_room_s: float, seconds: float, seed: int) -> Step:
    """Simulates that many rooms and looks at the workers every second."""
    live = stale = backlog = lag = 0
    texts_per_s = 0.0
    with (
        simulating(system, rooms, chat_per_room_s, "--seed", str(seed)),
        contextlib.closing(system.client()) as client,
    ):
        time.sleep(WARM_UP_S)
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            posts = client.status().processes
            workers = [post.detail for post in posts if post.name == "room-worker"]
            live = sum(worker["rooms_live"] for worker in workers)
            stale = max(stale, sum(worker["rooms_stale"] for worker in workers))
            backlog = max(backlog, sum(worker["encoder_backlog"] for worker in workers))
            lag = max(lag, sum(sum((worker["lag"] or {}).values()) for worker in workers))
            texts_per_s = sum(worker["texts_per_s"] for worker in workers)
            time.sleep(1.0)
    step = Step(rooms, live, stale, backlog, round(texts_per_s, 1), lag)
    say(f"{'kept' if step.kept else 'lost'}: {asdict(step)}")
    return step


def search(system: System, start: int, chat_per_room_s: float, seconds: float) -> list[Step]:
    """All steps, in the order they were tried."""
    steps: list[Step] = []
    kept, lost, rooms = 0, 0, start
    while not lost or lost > kept * CLOSE_ENOUGH:
        step = measure(system, rooms, chat_per_room_s, seconds, seed=len(steps) + 1)
        steps.append(step)
        kept, lost = (rooms, lost) if step.kept else (kept, rooms)
        rooms = 2 * rooms if not lost else (kept + lost) // 2
        if rooms < 20:
            break
        wait_until_empty(system)
    return steps


def wait_until_empty(system: System, timeout_s: float = 60.0) -> None:
    """Until the rooms of the last step have ended."""
    deadline = time.monotonic() + timeout_s
    with contextlib.closing(system.client()) as client:
        while client.readiness().live_rooms and time.monotonic() < deadline:
            time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=int, default=500)
    parser.add_argument("--chat-per-room-s", type=float, default=0.2)
    parser.add_argument("--seconds", type=float, default=40.0, help="of one step, after the warm-up")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    with stack(Settings()) as system:
        steps = search(system, args.start, args.chat_per_room_s, args.seconds)
    kept = [step for step in steps if step.kept]
    result = {
        "rooms": max((step.rooms for step in kept), default=0),
        "chat_per_room_s": args.chat_per_room_s,
        "texts_per_s": max((step.texts_per_s for step in steps), default=0.0),
        "steps": [asdict(step) for step in steps],
    }
    print(json.dumps(result) if args.json else f"{result['rooms']} rooms are kept under 30 s")


if __name__ == "__main__":
    main()
