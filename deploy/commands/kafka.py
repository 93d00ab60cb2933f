"""The command `tidecast kafka`: starts, stops and shows the local single-node Kafka. Never touches another Kafka."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import complain, say, say_json
from deploy.terminal.plain_progress import PlainProgress
from streaming.errors import ConfigError
from streaming.local_kafka import KAFKA_VERSION, LocalKafka, find_jars
from streaming.masked_uri import masked

if TYPE_CHECKING:
    from deploy.config.settings import Settings

EPILOG = """\
examples:
  tidecast kafka start     a real Apache Kafka on 127.0.0.1:9092, its data in .tidecast/kafka
  tidecast kafka status    whether it runs and answers; exit code 1 where it does not
  tidecast kafka stop      stops it; the data stays, and the next start has it again. Asks while a system uses it
  tidecast kafka fetch     downloads the jars (45 MB, once), for a machine that will have no network
  TIDECAST_LOCAL_KAFKA__PORT=9192 tidecast kafka start     another port

To use a Kafka that you have, set kafka.bootstrap_servers (TIDECAST_KAFKA__BOOTSTRAP_SERVERS); then none is started.
"""


def run(
    context: typer.Context,
    action: Annotated[Literal["start", "stop", "status", "fetch"], typer.Argument(help="what to do")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="stop it without asking, although a system uses it")] = False,
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of text")] = False,
) -> int:
    settings = settings_of(context)
    if action == "fetch":
        return _fetch(as_json=json)
    if settings.kafka.bootstrap_servers:
        complain(
            f"tidecast: kafka.bootstrap_servers is {masked(settings.kafka.bootstrap_servers)}: "
            "the other commands use that Kafka, not the local one"
        )
    kafka = LocalKafka(settings.local_kafka)
    if action == "start":
        with PlainProgress("kafka start", ""):
            started = kafka.start()
        note = "started" if started else "ran already"
    elif action == "stop":
        require_unused(settings, kafka, sure=yes)
        note = "stopped" if kafka.stop() else "was not running"
    else:
        note = ""
    return _show(kafka, note, action=action, as_json=json)


run.__doc__ = f"Runs a real Apache Kafka {KAFKA_VERSION} on this machine, without docker and without root."


def require_unused(settings: Settings, kafka: LocalKafka, *, sure: bool) -> None:
    """Asks before it stops a Kafka that a running system uses. Raises ConfigError: the answer is no, or nobody answers.

    Without a Kafka that system would answer from its tables, ever older, until there is one again.
    """
    from deploy.local.system import System  # noqa: PLC0415  the other actions need none of it

    users = [System(settings, folder).living() for folder in (Path(".tidecast"), Path(".tidecast/demo"))]
    urls = [user.url for user in users if user is not None and user.bootstrap_servers == kafka.bootstrap_servers]
    if not urls or sure or kafka.pid() is None:
        return
    said = f"the system at {urls[0]} uses this Kafka"
    if not sys.stdin.isatty():
        raise ConfigError(f"{said}; stop that with `tidecast down`, or give --yes")
    say(f"{said} and would go on with what it holds, ever older. Stop Kafka all the same? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise ConfigError("Kafka was not stopped; `tidecast down` stops the system")


def _show(kafka: LocalKafka, note: str, *, action: str, as_json: bool) -> int:
    status = kafka.status()
    if as_json:
        say_json({"action": action, "result": note, **dataclasses.asdict(status)})
    elif note:
        say(f"Kafka {note}" + (f" on {status.bootstrap_servers}, pid {status.pid}" if status.pid else ""))
    elif status.pid is None:
        say(f"Kafka does not run; `tidecast kafka start` starts it on {status.bootstrap_servers}")
    else:
        answer = "answers" if status.answers else "does not answer yet"
        say(f"Kafka runs on {status.bootstrap_servers}, pid {status.pid}, and {answer}")
    if not as_json and action != "stop":
        say(f"data in {status.folder}, log in {status.log_file}")
    return 0 if action == "stop" or status.answers else 1


def _fetch(*, as_json: bool) -> int:
    with PlainProgress("kafka fetch", ""):
        jars = find_jars()
    size_bytes = sum(jar.stat().st_size for jar in jars)
    if as_json:
        say_json({"version": KAFKA_VERSION, "jars": [str(jar) for jar in jars], "size_bytes": size_bytes})
    else:
        say(f"Kafka {KAFKA_VERSION}: {len(jars)} jars, {size_bytes / 1e6:.0f} MB, in {jars[0].parent.parent}")
    return 0
