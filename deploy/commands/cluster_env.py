"""The command `tidecast cluster-env`: prints the environment that a host's `ray start` needs. Never starts Ray."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.command_line import settings_of
from deploy.terminal.console import say, say_json

EPILOG = """\
examples, on the head:
  eval "$(tidecast cluster-env --redis 10.0.0.9:6379 --namespace live)"
  ray start --head --node-ip-address=10.0.0.5 --port=6379 --block
on every other host:
  eval "$(tidecast cluster-env)"
  ray start --address=10.0.0.5:6379 --node-ip-address=10.0.0.6 --block
then, on any host of the cluster:
  tidecast up --address 10.0.0.5:6379

The limits of callers (http.max_connections and others) are in the program that it writes into the folder, so give it
the configuration that `tidecast up` has. --json is for programs that start Ray themselves.
"""


def run(
    context: typer.Context,
    *,
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="of this host's own, for HAProxy and metrics; a short path")
    ] = Path("/tmp/tidecast-host"),
    redis: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="on the head: where it keeps what it knows, so that it may die")
    ] = "",
    namespace: Annotated[str, typer.Option(metavar="NAME", help="this cluster's name in Redis")] = "tidecast",
    json: Annotated[bool, typer.Option("--json", help="one JSON object instead of lines for a shell")] = False,
) -> int:
    """Prints the environment that `ray start` needs on this host, and makes the folder that it names."""
    from deploy.ray.cluster_host import ClusterHost  # noqa: PLC0415  the help needs none of this

    host = ClusterHost(folder.absolute(), redis, namespace)
    environment = dict(host.environment(settings_of(context).http.limits))
    if json:
        say_json(environment)
    else:
        for name, value in environment.items():
            say(f"export {name}={shlex.quote(value)}")
    return 0
