"""Owns `tidecast demo`: its options, its summary and its exit code. Never runs anything itself."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from deploy.terminal.console import complain, console, say

if TYPE_CHECKING:
    from deploy.demo.demo import Speed, Stage
    from deploy.demo.promises import Verdict

UNATTENDED_S = 60.0
ROOM_LIFETIME_S = 300.0  # with 60 rooms, one ends every 5 s
TOPIC_S = 120.0
FOLDER = Path(".tidecast/demo")
ROOMS, LEAST_ROOMS = 60, 5
VIEWERS_PER_ROOM = 500 / 60
TEXTS_PER_ROOM_S = 0.6  # of the made-up platform: titles, closed segments, what is said now
# What the demo's other processes take, on one machine: a guess, by which no more than the platform's size is chosen
FIXED_CORES, CORES_PER_ROOM = 0.3, 0.009
BUSY = 0.6

EPILOG = """\
examples:
  tidecast demo                            until Ctrl-C on a terminal, 60 s elsewhere
  tidecast demo --seconds 20 --plain       a line every few seconds, then the summary
  tidecast demo --rooms 200 --viewers 2000 a larger platform
  tidecast demo --recording chat.parquet   a recorded file instead of a simulated platform
  TIDECAST_KAFKA__BOOTSTRAP_SERVERS=broker:9092 tidecast demo     your Kafka, in topics that begin with "demo."

While it runs, `tidecast recommend VIEWER`, `tidecast rooms` and http://127.0.0.1:8000/docs work in another terminal.

It measures for two seconds what the encoder does on this machine, and plays as many rooms as that can keep fresh.
Exit code 1 when a promise was broken: an ended room was in an answer, an item had no receipt or no reason, a request
failed, a process ended. Where only freshness suffers, it says "slow machine" with the figures, and the exit code is 0.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="everything at once on this machine, with a simulated platform, shown while it runs",
        description="Starts Kafka, Ray, the application and a simulated platform, and shows what viewers would get.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, metavar="N", help="stop after so long")
    parser.add_argument(
        "--recording", type=Path, metavar="FILE", help="play a recorded file, as `tidecast replay` does"
    )
    parser.add_argument("--rooms", type=int, help=f"rooms live at once (default: {ROOMS}, fewer on a slow machine)")
    parser.add_argument("--viewers", type=int, help="viewers who ever come (default: 500 where there are 60 rooms)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another platform (default: 1)")
    parser.add_argument("--plain", action="store_true", help="lines instead of a screen, on a terminal too")
    parser.add_argument("--json", action="store_true", help="the summary as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.config.settings import from_args  # noqa: PLC0415  the help needs none of this
    from deploy.demo.demo import Demo  # noqa: PLC0415
    from deploy.demo.screen import Lines, Screen  # noqa: PLC0415
    from deploy.terminal.plain_progress import PlainProgress  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415

    attended = sys.stdout.isatty() and not args.plain
    seconds = args.seconds if args.seconds is not None or attended else UNATTENDED_S
    signal.signal(signal.SIGTERM, _interrupt)  # whoever ends the demo politely leaves nothing running
    waiting = PlainProgress("demo", "")

    def tell(step: str) -> None:
        _tell(step)
        waiting.stage(step)

    with contextlib.ExitStack() as stack:
        with waiting:
            demo = stack.enter_context(Demo(from_args(args), partial(feed, args), FOLDER, SystemClock(), tell))
        if attended:
            with Screen(console()) as screen:
                verdict = demo.watch(seconds, screen)
        else:
            verdict = demo.watch(seconds, Lines(sys.stderr if args.json else sys.stdout))
    say(as_json(verdict, demo.stages) if args.json else summary(verdict, demo.stages))
    return 1 if verdict.broken else 0


def feed(args: argparse.Namespace, speed: Speed | None) -> list[str]:
    """The arguments of the `tidecast` command that plays the platform, for a machine of that speed.

    None: nobody could measure it.
    """
    before = ["--config", str(args.config)] if args.config else []
    if args.recording:
        return [*before, "replay", str(args.recording)]
    rooms = rooms_for(speed) if args.rooms is None else args.rooms
    if args.rooms is None and rooms < ROOMS:
        does = (
            "its encoder does not answer in time"
            if speed is None
            else f"its encoder does {speed.texts_per_s:.0f} texts a second, {speed.cores:.1f} cores are free"
        )
        _tell(f"slow machine: {does}; a platform of {rooms} rooms instead of {ROOMS} (--rooms decides)")
    platform = {
        "--rooms": rooms,
        "--viewers": round(rooms * VIEWERS_PER_ROOM) if args.viewers is None else args.viewers,
        "--seed": args.seed,
        # Livelier than usual, so that a minute shows rooms that start, end and change their topic.
        "--room-lifetime-s": ROOM_LIFETIME_S,
        "--topic-s": TOPIC_S,
    }
    return [*before, "simulate", *(word for name, value in platform.items() for word in (name, str(value)))]


def rooms_for(speed: Speed | None) -> int:
    """As many rooms as the machine keeps fresh beside everything else that the demo runs on its cores.

    A room costs what its texts take at the encoder and what its events take elsewhere. More than BUSY of the cores is
    not planned with: a wait grows long before they are full.
    """
    if speed is None:
        return LEAST_ROOMS
    encoder_cores = TEXTS_PER_ROOM_S * min(1.0, speed.cores) / max(speed.texts_per_s, 0.1)
    rooms = int((BUSY * speed.cores - FIXED_CORES) / (CORES_PER_ROOM + encoder_cores))
    return max(LEAST_ROOMS, min(ROOMS, rooms))


def summary(verdict: Verdict, stages: Sequence[Stage]) -> str:
    """What a person wants to know at the end."""
    started = ", ".join(f"{stage.name} {stage.took_s:.1f} s" for stage in stages)
    lines = [
        f"started in {sum(stage.took_s for stage in stages):.1f} s: {started}",
        f"{verdict.answers} answers with {verdict.items} rooms were checked",
        f"chat to servable: p50 {_ms(verdict.freshness_p50_s)}, p99 {_ms(verdict.freshness_p99_s)}",
        *(f"slow machine: {promise}" for promise in verdict.slow),
        *(f"BROKEN: {promise}" for promise in verdict.broken),
    ]
    if verdict.slow and not verdict.broken:
        lines.append("every answer was right; only freshness suffered: fewer rooms (--rooms) or more cores help")
    return "\n".join(lines if verdict.broken or verdict.slow else [*lines, "every promise was kept"])


def as_json(verdict: Verdict, stages: Sequence[Stage]) -> str:
    """The summary for scripts."""
    return json.dumps({**dataclasses.asdict(verdict), "stages_s": {stage.name: stage.took_s for stage in stages}})


def _ms(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1000:.0f} ms"


def _tell(step: str) -> None:
    complain(f"{step} ...")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
