"""Owns `tidecast simulate`: its options and its summary. Never makes an event itself."""

from __future__ import annotations

import argparse
import threading
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.terminal.console import as_json as to_json
from deploy.terminal.console import say
from streaming.simulated.config import SimulationConfig

if TYPE_CHECKING:
    from deploy.demo.simulation import Run

INTERRUPTED = 130

# Every field of SimulationConfig and what it means; the defaults are read from there.
OPTIONS = {
    "seed": "another seed, another platform",
    "rooms": "rooms live at once, on average",
    "streamers": "who broadcast now and then; 0: three times --rooms",
    "viewers": "who ever come; --online-share of them are there at once",
    "categories": "how many categories there are, at most 20",
    "chat_per_room_s": "chat messages a second of an average room; popular rooms have more",
    "bot_share": "of the messages, those by bots that copy and paste",
    "room_lifetime_s": "mean length of a broadcast",
    "topic_s": "mean time that a room stays with a topic; titles follow only now and then",
    "mixed_share": "of the streamers, those who talk about several categories under one label",
    "raid_share": "of the ends of rooms, those where the viewers move on together",
    "online_share": "of the viewers, those in some room at once",
    "visit_s": "mean length of a visit",
    "hop_share": "of the visits, those followed at once by another",
    "return_share": "of the choices, those of a favourite streamer, where one is live",
    "noise_share": "of the choices, those by popularity alone",
    "reaction_per_viewer_s": "likes, gifts and follows a second of a viewer in a room",
    "watch_every_s": "how often a viewer's player says that it still plays",
}

EPILOG = """\
The platform has streamers with usual categories, a language and broadcasts that start and end; rooms whose topic
drifts; viewers with one to three tastes, favourite streamers to whom they return, and a language; chat about the topic
in eight languages, with emotes, mentions and bots; raids. The same seed makes the same platform. --truth writes what is
true of it, as JSON: what each viewer likes, what each room was about and when; `streaming.truth.Truth.read` reads it.

It runs at real speed until Ctrl-C, then its rooms end. With --fast, --duration seconds of it are written at once; they
end now, because workers refuse events from the future.

examples:
  tidecast simulate                                          200 rooms, 5,000 viewers, until Ctrl-C
  tidecast simulate --rooms 1000 --chat-per-room-s 0.2       many quiet rooms
  tidecast simulate --seed 7 --duration 600 --truth truth.json
  tidecast simulate --fast --duration 60 --rooms 2000 --viewers 50000 --chat-per-room-s 5 --json
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "simulate",
        help="write a synthetic platform's events to Kafka",
        description="Simulates a live platform and writes its rooms, chat and viewer events to Kafka.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    platform = parser.add_argument_group("the platform")
    for field in fields(SimulationConfig):
        default: Any = field.default
        platform.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(default),
            default=default,
            metavar="N",
            help=f"{OPTIONS[field.name]} (default: {default})",
        )
    parser.add_argument("--duration", type=float, metavar="S", help="stop after so many seconds of the platform's time")
    parser.add_argument("--fast", action="store_true", help="as fast as Kafka takes it; needs --duration")
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="with --fast, how many write at once (default: 2)"
    )
    parser.add_argument("--truth", type=Path, metavar="FILE", help="write what is true of the platform, as JSON")
    parser.add_argument("--leave-open", action="store_true", help="do not end the rooms at the end")
    parser.add_argument("--json", action="store_true", help="the summary as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.config.settings import from_args  # noqa: PLC0415  the help needs none of this
    from deploy.demo.simulation import run_fast, run_live  # noqa: PLC0415
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415
    from deploy.terminal.play_progress import PlayProgress  # noqa: PLC0415
    from streaming.broker import KafkaLog  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415

    settings, clock, stop = from_args(args), SystemClock(), threading.Event()
    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    wanted = wanted_run(args, clock.now_ms())
    with stop_on_signal(stop):
        if args.fast:
            with PlayProgress("simulate", "seconds", args.duration) as bar:
                written = run_fast(wanted, kafka, settings.topics.prefix, args.processes, stop, progress=bar.update)
            events, took_s = written.events, written.elapsed_s
        else:
            sink = KafkaLog(kafka, settings.topics.prefix).sink()
            with PlayProgress("simulate", "seconds", args.duration) as bar:
                played = run_live(wanted, sink, clock, stop, lambda far: bar.update(far.elapsed_s, far))
            events, took_s = played.events, played.elapsed_s
    say(summary(events, took_s, stopped=stop.is_set(), as_json=args.json))
    return INTERRUPTED if stop.is_set() else 0


def wanted_run(args: argparse.Namespace, now_ms: int) -> Run:
    """Raises ConfigError."""
    from deploy.demo.simulation import Run  # noqa: PLC0415
    from streaming.errors import ConfigError  # noqa: PLC0415

    if args.fast and args.duration is None:
        raise ConfigError("--fast needs --duration: how many seconds of the platform's time to write")
    if args.processes < 1 or (args.duration is not None and not args.duration > 0):
        raise ConfigError(f"--processes is {args.processes} and --duration {args.duration}; both must be above 0")
    lasts_ms = None if args.duration is None else int(args.duration * 1000)
    start_ms = now_ms - lasts_ms if args.fast and lasts_ms is not None else now_ms
    return Run(
        config=SimulationConfig(**{field.name: getattr(args, field.name) for field in fields(SimulationConfig)}),
        start_ms=start_ms,
        until_ms=None if lasts_ms is None else start_ms + lasts_ms,
        ends=not args.leave_open,
        truth=args.truth,
    )


def summary(events: int, took_s: float, *, stopped: bool, as_json: bool) -> str:
    """One line, for a person or for a script."""
    if as_json:
        rate = round(events / max(took_s, 0.001), 1)
        return to_json({"events": events, "elapsed_s": round(took_s, 3), "events_per_s": rate, "interrupted": stopped})
    return f"{events:,} events in {took_s:.1f} s, {events / max(took_s, 0.001):,.0f}/s"
