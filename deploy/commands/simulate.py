"""The command `tidecast simulate`: its options and its summary. Never makes an event itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import as_json as to_json
from deploy.terminal.console import say
from streaming.errors import ConfigError
from streaming.simulated.config import SimulationConfig

if TYPE_CHECKING:
    from deploy.demo.simulation import SimulationRun

INTERRUPTED = 130
USUAL = SimpleNamespace(**{field.name: field.default for field in fields(SimulationConfig)})

EPILOG = """\
The platform has streamers with usual categories, a language and broadcasts that start and end; rooms whose topic
drifts; viewers with one to three tastes, favourite streamers to whom they return, and a language; chat about the topic
in eight languages, with emotes, mentions and bots; raids. The same seed makes the same platform. --truth writes what is
true of it, as JSON: what each viewer likes, what each room was about and when; `streaming.simulated.truth.Truth.read`
reads it.

It runs at real speed until Ctrl-C, then its rooms end. With --fast, --duration seconds of it are written at once; they
end now, because workers refuse events from the future.

examples:
  tidecast simulate                                          200 rooms, 5,000 viewers, until Ctrl-C
  tidecast simulate --rooms 1000 --chat-per-room-s 0.2       many quiet rooms
  tidecast simulate --seed 7 --duration 600 --truth truth.json
  tidecast simulate --fast --duration 60 --rooms 2000 --viewers 50000 --chat-per-room-s 5 --json
"""


def _of_platform(meaning: str) -> Any:
    return typer.Option(metavar="N", rich_help_panel="the platform", help=meaning)


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """The options of a simulation: how long, at once or not, with ends or not, and the file for its truth."""

    duration_s: float | None = None
    fast: bool = False
    processes: int = 2
    truth: Path | None = None
    leave_open: bool = False


def run(
    context: typer.Context,
    *,
    seed: Annotated[int, _of_platform("another seed, another platform")] = USUAL.seed,
    rooms: Annotated[int, _of_platform("rooms live at once, on average")] = USUAL.rooms,
    streamers: Annotated[int, _of_platform("who broadcast now and then; 0: three times --rooms")] = USUAL.streamers,
    viewers: Annotated[int, _of_platform("who ever come; --online-share of them are there at once")] = USUAL.viewers,
    categories: Annotated[int, _of_platform("how many categories there are, at most 20")] = USUAL.categories,
    chat_per_room_s: Annotated[
        float, _of_platform("chat messages a second of an average room; popular rooms have more")
    ] = USUAL.chat_per_room_s,
    talking_share: Annotated[
        float, _of_platform("of the streamers, those whose speech is recognised: a sentence every 5 to 15 s")
    ] = USUAL.talking_share,
    bot_share: Annotated[float, _of_platform("of the messages, those by bots that copy and paste")] = USUAL.bot_share,
    room_lifetime_s: Annotated[float, _of_platform("mean length of a broadcast")] = USUAL.room_lifetime_s,
    topic_s: Annotated[
        float, _of_platform("mean time that a room stays with a topic; titles follow only now and then")
    ] = USUAL.topic_s,
    mixed_share: Annotated[
        float, _of_platform("of the streamers, those who talk about several categories under one label")
    ] = USUAL.mixed_share,
    raid_share: Annotated[
        float, _of_platform("of the ends of rooms, those where the viewers move on together")
    ] = USUAL.raid_share,
    online_share: Annotated[float, _of_platform("of the viewers, those in some room at once")] = USUAL.online_share,
    visit_s: Annotated[float, _of_platform("mean length of a visit")] = USUAL.visit_s,
    bored_share: Annotated[
        float, _of_platform("of the visits to rooms about nothing that the viewer likes, those left within 10 s")
    ] = USUAL.bored_share,
    hop_share: Annotated[float, _of_platform("of the visits, those followed at once by another")] = USUAL.hop_share,
    return_share: Annotated[
        float, _of_platform("of the choices, those of a favourite streamer, where one is live")
    ] = USUAL.return_share,
    noise_share: Annotated[float, _of_platform("of the choices, those by popularity alone")] = USUAL.noise_share,
    reaction_per_viewer_s: Annotated[
        float, _of_platform("likes, gifts and follows a second of a viewer in a room")
    ] = USUAL.reaction_per_viewer_s,
    watch_every_s: Annotated[
        float, _of_platform("how often a viewer's player says that it still plays")
    ] = USUAL.watch_every_s,
    duration: Annotated[
        float | None, typer.Option(metavar="S", help="stop after so many seconds of the platform's time")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="as fast as Kafka takes it; needs --duration")] = False,
    processes: Annotated[int, typer.Option(metavar="N", help="with --fast, how many write at once")] = 2,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write what is true of the platform, as JSON")
    ] = None,
    leave_open: Annotated[bool, typer.Option("--leave-open", help="do not end the rooms at the end")] = False,
    json: Annotated[bool, typer.Option("--json", help="the summary as one JSON object")] = False,
) -> int:
    """Simulates a live platform and writes its rooms, chat and viewer events to Kafka."""
    asked = SimulateOptions(duration, fast, processes, truth, leave_open)
    check(asked)
    platform = SimulationConfig(
        seed=seed,
        rooms=rooms,
        streamers=streamers,
        viewers=viewers,
        categories=categories,
        chat_per_room_s=chat_per_room_s,
        talking_share=talking_share,
        bot_share=bot_share,
        room_lifetime_s=room_lifetime_s,
        topic_s=topic_s,
        mixed_share=mixed_share,
        raid_share=raid_share,
        online_share=online_share,
        visit_s=visit_s,
        bored_share=bored_share,
        hop_share=hop_share,
        return_share=return_share,
        noise_share=noise_share,
        reaction_per_viewer_s=reaction_per_viewer_s,
        watch_every_s=watch_every_s,
    )
    from deploy.demo.simulation import run_fast, run_live  # noqa: PLC0415  the help needs none of this
    from deploy.local.stopping import stop_on_signal  # noqa: PLC0415
    from deploy.terminal.progress_bars import PlayProgress  # noqa: PLC0415
    from streaming.broker import KafkaLog  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415

    settings, clock, stop = settings_of(context), SystemClock(), threading.Event()
    kafka = settings.kafka.or_local(settings.local_kafka.bootstrap_servers)
    wanted = wanted_run(platform, asked, clock.now_ms())
    with stop_on_signal(stop):
        if fast:
            with PlayProgress("simulate", "seconds", duration) as bar:
                written = run_fast(wanted, kafka, settings.topics.prefix, processes, stop, progress=bar.update)
            events, took_s = written.events, written.elapsed_s
        else:
            sink = KafkaLog(kafka, settings.topics.prefix).sink()
            with PlayProgress("simulate", "seconds", duration) as bar:
                played = run_live(wanted, sink, clock, stop, lambda far: bar.update(far.elapsed_s, far))
            events, took_s = played.events, played.elapsed_s
    say(summary(events, took_s, stopped=stop.is_set(), as_json=json))
    return INTERRUPTED if stop.is_set() else 0


def check(asked: SimulateOptions) -> None:
    """Checks that the options fit each other. Raises ConfigError."""
    if asked.fast and asked.duration_s is None:
        raise ConfigError("--fast needs --duration: how many seconds of the platform's time to write")
    if asked.processes < 1 or (asked.duration_s is not None and not asked.duration_s > 0):
        raise ConfigError(f"--processes is {asked.processes} and --duration {asked.duration_s}; both must be above 0")


def wanted_run(platform: SimulationConfig, asked: SimulateOptions, now_ms: int) -> SimulationRun:
    """The simulation to be run, with its time: one that is written at once ends now."""
    from deploy.demo.simulation import SimulationRun  # noqa: PLC0415

    lasts_ms = None if asked.duration_s is None else int(asked.duration_s * 1000)
    start_ms = now_ms - lasts_ms if asked.fast and lasts_ms is not None else now_ms
    return SimulationRun(
        config=platform,
        start_ms=start_ms,
        until_ms=None if lasts_ms is None else start_ms + lasts_ms,
        ends=not asked.leave_open,
        truth=asked.truth,
    )


def summary(events: int, took_s: float, *, stopped: bool, as_json: bool) -> str:
    """The summary as one line, as text or as JSON."""
    if as_json:
        rate = round(events / max(took_s, 0.001), 1)
        return to_json({"events": events, "elapsed_s": round(took_s, 3), "events_per_s": rate, "interrupted": stopped})
    return f"{events:,} events in {took_s:.1f} s, {events / max(took_s, 0.001):,.0f}/s"
