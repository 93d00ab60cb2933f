"""The command `tidecast demo`: its options, its summary and its exit code. Never runs anything itself."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.command_line import settings_of
from deploy.commands.console import open_browser
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
TEXTS_PER_ROOM_S = 0.6  # on the made-up platform: titles, closed segments, current chat
# load of the demo's other processes on one machine: a guess, by which only the platform's size is chosen
FIXED_CORES, CORES_PER_ROOM = 0.3, 0.009
BUSY = 0.6

EPILOG = """\
examples:
  tidecast demo                            until Ctrl-C on a terminal, 60 s elsewhere
  tidecast demo --seconds 20 --plain       a line every few seconds, then the summary
  tidecast demo --rooms 200 --viewers 2000 a larger platform
  tidecast demo --recording chat.parquet   a recorded file instead of a simulated platform
  TIDECAST_KAFKA__BOOTSTRAP_SERVERS=broker:9092 tidecast demo     your Kafka, in topics that begin with "demo."

It prints the address of its console first: web pages on rooms, lists and health. On a terminal with a screen beside
it they are opened in a browser. `tidecast recommend VIEWER`, `tidecast rooms` and http://127.0.0.1:8000/docs work
meanwhile in another terminal.

It measures for two seconds what the encoder does on this machine, and plays as many rooms as that can keep fresh.
Exit code 1 when a promise was broken: an ended room was in an answer, an item had no receipt or no reason, a request
failed, a process ended. Where only freshness suffers, it says "slow machine" with the figures, and the exit code is 0.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class PlatformOptions:
    """The platform that the demo plays; None: as the machine allows. config: of the command that plays it."""

    config: Path | None = None
    recording: Path | None = None
    rooms: int | None = None
    viewers: int | None = None
    seed: int = 1


def run(
    context: typer.Context,
    *,
    seconds: Annotated[float | None, typer.Option(metavar="N", help="stop after so long")] = None,
    recording: Annotated[
        Path | None, typer.Option(metavar="FILE", help="play a recorded file, as `tidecast replay` does")
    ] = None,
    rooms: Annotated[
        int | None, typer.Option(metavar="N", help=f"rooms live at once (default: {ROOMS}, fewer on a slow machine)")
    ] = None,
    viewers: Annotated[
        int | None, typer.Option(metavar="N", help="viewers who ever come (default: 500 where there are 60 rooms)")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="another seed, another platform")] = 1,
    plain: Annotated[bool, typer.Option("--plain", help="lines instead of a screen, on a terminal too")] = False,
    json_: Annotated[bool, typer.Option("--json", help="the summary as one JSON object")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="open no browser, on a terminal either")] = False,
) -> int:
    """Starts Kafka, Ray, the application and a simulated platform, and shows what viewers would get."""
    from deploy.demo.demo import Demo  # noqa: PLC0415  the help needs none of this
    from deploy.demo.screen import Screen, ScreenLines  # noqa: PLC0415
    from deploy.local.stopping import interrupt_on_sigterm  # noqa: PLC0415
    from deploy.terminal.plain_progress import PlainProgress  # noqa: PLC0415
    from streaming.clock import SystemClock  # noqa: PLC0415

    attended = sys.stdout.isatty() and not plain
    lasts_s = seconds if seconds is not None or attended else UNATTENDED_S
    waiting = PlainProgress("demo", "")
    platform = PlatformOptions(context.obj.config, recording, rooms, viewers, seed)

    def report_step(step: str) -> None:
        _report_step(step)
        waiting.stage(step)

    with contextlib.ExitStack() as stack:
        stack.enter_context(interrupt_on_sigterm())  # a demo ended by SIGTERM leaves nothing running
        with waiting:
            demo = stack.enter_context(
                Demo(
                    settings_of(context),
                    partial(feed, platform),
                    FOLDER,
                    SystemClock(),
                    report_step,
                    console=console_page(platform),
                    report_console=_report_console,
                )
            )
        open_browser(demo.console_url, wanted=attended and not no_browser)
        if attended:
            with Screen(console(), f"Ctrl-C stops, {demo.console_url} shows more") as screen:
                verdict = demo.watch(lasts_s, screen)
        else:
            verdict = demo.watch(lasts_s, ScreenLines(sys.stderr if json_ else sys.stdout))
    say(as_json(verdict, demo.stages) if json_ else summary(verdict, demo.stages))
    return 1 if verdict.broken else 0


def feed(platform: PlatformOptions, speed: Speed | None) -> list[str]:
    """The arguments of the `tidecast` command that plays the platform, for a machine of that speed.

    speed: None where it could not be measured.
    """
    before = ["--config", str(platform.config)] if platform.config else []
    if platform.recording:
        return [*before, "replay", str(platform.recording)]
    rooms = rooms_for(speed) if platform.rooms is None else platform.rooms
    if platform.rooms is None and rooms < ROOMS:
        does = (
            "its encoder does not answer in time"
            if speed is None
            else f"its encoder does {speed.texts_per_s:.0f} texts a second, {speed.cores:.1f} cores are free"
        )
        _report_step(f"slow machine: {does}; a platform of {rooms} rooms instead of {ROOMS} (--rooms decides)")
    options = {
        "--rooms": rooms,
        "--viewers": round(rooms * VIEWERS_PER_ROOM) if platform.viewers is None else platform.viewers,
        "--seed": platform.seed,
        # livelier than usual, so that a minute shows rooms that start, end and change their topic
        "--room-lifetime-s": ROOM_LIFETIME_S,
        "--topic-s": TOPIC_S,
    }
    return [*before, "simulate", *(word for name, value in options.items() for word in (name, str(value)))]


def console_page(platform: PlatformOptions) -> list[str]:
    """The arguments of the `tidecast` command that shows the demo as web pages."""
    before = ["--config", str(platform.config)] if platform.config else []
    return [*before, "console", "--no-browser"]


def rooms_for(speed: Speed | None) -> int:
    """The number of rooms that the machine keeps fresh beside everything else that the demo runs on its cores.

    A room costs its texts' time at the encoder and its events' time elsewhere. No more than BUSY of the cores is
    planned for: waits grow long before they are full.
    """
    if speed is None:
        return LEAST_ROOMS
    encoder_cores = TEXTS_PER_ROOM_S * min(1.0, speed.cores) / max(speed.texts_per_s, 0.1)
    rooms = int((BUSY * speed.cores - FIXED_CORES) / (CORES_PER_ROOM + encoder_cores))
    return max(LEAST_ROOMS, min(ROOMS, rooms))


def summary(verdict: Verdict, stages: Sequence[Stage]) -> str:
    """The summary at the end, as text."""
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


def _report_console(url: str) -> None:
    complain(f"console   {url}   rooms, lists and why, in a browser")


def _report_step(step: str) -> None:
    complain(f"{step} ...")
