"""Ten minutes of simulated rooms that start and end: does any process grow?

    python -m tests.bench.soak [--json] [--minutes M] [--rooms N]

Rooms live for half a minute on average, so that ten minutes see each slot used some twenty times. A process's growth is
the slope of a line through its resident memory after the first third, when caches have filled.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from dataclasses import replace

import psutil

from deploy.config.settings import Settings
from deploy.local.system import System
from tests.bench.capacity import simulating, wait_until_empty
from tests.bench.stack import say, stack

EVERY_S = 5.0
SETTLED_SHARE = 1 / 3
GROWING_MB_PER_MIN = 2.0  # noise of an allocator over minutes is below this; a leak per room is far above


def memory_mb(system: System) -> dict[str, float]:
    """Resident memory of every process that was started, by name and pid."""
    found: dict[str, float] = {}
    for pid in system.pids():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            words = process.cmdline() or [process.name()]
            # Ray adds the method that an actor runs just now: the process is the same.
            ours = words[0].startswith("ray::")
            name = words[0].split(".")[0] if ours else " ".join(words[:3]).rpartition("/")[2]
            found[f"{name[:60]} {pid}"] = process.memory_info().rss / 1e6
    return found


def slope_mb_per_min(samples: list[tuple[float, float]]) -> float:
    """The slope of a straight line through (seconds, MB)."""
    settled = samples[int(len(samples) * SETTLED_SHARE) :]
    if len(settled) < 3:
        return 0.0
    return statistics.linear_regression([at for at, _ in settled], [mb for _, mb in settled]).slope * 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rooms", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    args = parser.parse_args()
    settings = Settings()
    # Ended rooms are remembered for an hour; here for half a minute, else the hour itself would look like growth.
    settings = replace(settings, room_worker=replace(settings.room_worker, keep_ended_s=30))
    samples: dict[str, list[tuple[float, float]]] = {}
    began_s = time.monotonic()
    with stack(settings) as system:
        with simulating(system, args.rooms, 0.5, "--room-lifetime-s", "30"):
            began_s = time.monotonic()
            while (at_s := time.monotonic() - began_s) < args.minutes * 60:
                for name, mb in memory_mb(system).items():
                    samples.setdefault(name, []).append((at_s, mb))
                total = sum(values[-1][1] for values in samples.values())
                with contextlib.closing(system.client()) as client:
                    say(f"{at_s:5.0f} s: {client.readiness().live_rooms} rooms live, {total:.0f} MB in all")
                time.sleep(EVERY_S)
        wait_until_empty(system)
    processes = {
        name: {
            "first_mb": round(values[0][1]),
            "last_mb": round(values[-1][1]),
            "mb_per_min": round(slope_mb_per_min(values), 2),
        }
        for name, values in samples.items()
    }
    growing = [name for name, figures in processes.items() if figures["mb_per_min"] > GROWING_MB_PER_MIN]
    result = {"minutes": args.minutes, "rooms": args.rooms, "growing": growing, "processes": processes}
    print(json.dumps(result) if args.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
