"""The command `tidecast schema`: prints the JSON Schema of a topic's records. Never talks to a broker."""

from __future__ import annotations

from typing import Annotated

import typer

from deploy.commands.command_line import one_of
from deploy.terminal.console import say, say_json
from streaming.log.topics import TOPICS

EPILOG = """\
examples:
  tidecast schema chat             what a chat message must look like
  tidecast schema rooms > rooms.schema.json
  tidecast schema                  every topic: key, format, who writes it

Topics that producers write carry JSON; topics that only Tidecast writes carry the same fields as a MessagePack array.
"""


def run(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC", parser=one_of(list(TOPICS)), autocompletion=lambda: list(TOPICS), help=", ".join(TOPICS)
        ),
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="the list of topics as one JSON object")] = False,
) -> int:
    """Prints the JSON Schema (draft 2020-12) of a topic's records, or the list of topics."""
    from streaming.log.codec import json_schema  # noqa: PLC0415  the help needs none of this

    if topic is not None:
        say_json(json_schema(topic), indent=2)
        return 0
    listed = {one.name: {"key": one.key, "format": one.format, "written_by": one.written_by} for one in TOPICS.values()}
    if json:
        say_json(listed)
        return 0
    for name, one in listed.items():
        say(f"{name:<16} key {one['key']:<8} {one['format']:<8} written by {one['written_by']}")
    return 0
