"""The command `tidecast down`: stops what `up` started from this folder. Never touches another Ray or Kafka."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import complain, say, say_json

EPILOG = """\
examples:
  tidecast down            in the folder where `tidecast up` was started
  tidecast down --json     for scripts: {"stopped": true, "seconds": 4.2}

Workers flush and commit before they end. What does not make it in time is read again at the next start: everything
that the system knows is on the log. Kafka is stopped only if `up` started it; its data stays in .tidecast/kafka.
"""


def run(
    context: typer.Context,
    *,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    """Stops what `tidecast up` started from this folder, and nothing else."""
    from deploy.local.system import System  # noqa: PLC0415  the help needs none of this
    from deploy.terminal.plain_progress import PlainProgress  # noqa: PLC0415

    began_s = time.monotonic()
    waiting = PlainProgress("down", "")

    def progress(step: str) -> None:
        complain(step)
        waiting.stage(step)

    with waiting:
        stopped = System(settings_of(context), progress=progress).stop()
    seconds = round(time.monotonic() - began_s, 1)
    if json:
        say_json({"stopped": stopped, "seconds": seconds})
    else:
        say(f"down after {seconds} s" if stopped else "nothing runs that was started from this folder")
    return 0
