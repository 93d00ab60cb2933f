"""The command `tidecast up`: starts the system and prints where it answers. Never stays unless told to."""

from __future__ import annotations

import dataclasses
import signal
import time
from typing import Annotated

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import complain, say, say_json

EPILOG = """\
examples:
  tidecast up                          Kafka, Ray and the application on this machine, all on 127.0.0.1
  tidecast up --foreground             the same until Ctrl-C, which stops it in order
  tidecast up --address 10.0.0.5:6379  the application on a Ray cluster that runs; give it a Kafka that its nodes reach
  TIDECAST_HTTP__PORT=9000 tidecast up           another port
  TIDECAST_KAFKA__BOOTSTRAP_SERVERS=broker:9092 tidecast up     your Kafka; none is started

It returns when every replica has caught up with the log. Then, for example:
  tidecast status
  tidecast simulate                    feed it a platform that does not exist
  tidecast recommend viewer-1 --watch
  tidecast down
"""


def run(
    context: typer.Context,
    *,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="a running Ray cluster's GCS, instead of a local Ray")
    ] = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="stay; everything ends with this command")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Starts the system: Kafka where none is configured, missing topics, Ray, the application."""
    from deploy.local.stopping import interrupt_on_sigterm  # noqa: PLC0415
    from deploy.local.system import System  # noqa: PLC0415  the help needs none of this
    from deploy.terminal.plain_progress import PlainProgress  # noqa: PLC0415
    from streaming.masked_uri import masked  # noqa: PLC0415

    settings = settings_of(context)
    if address:
        settings = dataclasses.replace(settings, ray=dataclasses.replace(settings.ray, address=address))
    began_s = time.monotonic()

    waiting = PlainProgress("up", "")

    def progress(step: str) -> None:
        complain(f"{time.monotonic() - began_s:5.1f} s  {step}")
        waiting.stage(step)

    system = System(settings, progress=progress, outlives=not foreground)
    before = system.running()
    try:
        with waiting:
            system.start()
    except BaseException:
        if system.running() != before:  # else another one runs already
            system.stop()
        raise
    seconds = round(time.monotonic() - began_s, 1)
    servers = masked(system.settings.kafka.bootstrap_servers)
    admin_url = system.settings.http.admin_url
    if json:
        said = {"url": system.url, "admin_url": admin_url, "bootstrap_servers": servers, "seconds": seconds}
        say_json(said, flush=True)
    else:
        say(f"up after {seconds} s")
        say(f"  answers   {system.url}/v1/recommend   documentation {system.url}/docs")
        say(f"  metrics   {admin_url}/metrics")
        say(f"  Kafka     {servers}", flush=True)
    if foreground:
        with interrupt_on_sigterm():
            try:
                while True:
                    signal.pause()
            except KeyboardInterrupt:
                system.stop()
    return 0
