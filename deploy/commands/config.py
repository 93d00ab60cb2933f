"""The command `tidecast config`: prints the effective configuration and each value's origin. Never changes it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from deploy.config.key import masked_value
from deploy.config.settings import Loaded, load
from deploy.config.toml_text import literal, values
from deploy.terminal.console import as_json as quoted
from deploy.terminal.console import one_line, say

EPILOG = """\
examples:
  tidecast config                                     what is in force, as TOML that can be loaded again
  tidecast config > tidecast.toml                     a file with every key, to change and keep
  TIDECAST_TOPICS__ROOM_PARTITIONS=8 tidecast config  an override for one command
  tidecast --config production.toml config --json     for scripts: {"section.key": {"value": ..., "from": ...}}

A later one wins: default, file, environment. Passwords and other secrets, those in URIs too, are shown as ********.
"""


def run(
    context: typer.Context,
    *,
    json_: Annotated[bool, typer.Option("--json", help="one JSON object instead of TOML")] = False,
) -> int:
    """Prints the configuration that the other commands would use, each value with where it comes from."""
    loaded = load(context.obj.config, os.environ)
    say(as_json(loaded) if json_ else as_toml(loaded))
    return 0


def as_json(loaded: Loaded) -> str:
    """The settings as one JSON object: value and origin by dotted key. Secrets are masked."""
    return json.dumps(
        {name: {"value": value, "from": loaded.origin(name)} for name, value in _values(loaded)},
        indent=2,
        default=_plain,
    )


def as_toml(loaded: Loaded) -> str:
    """The settings as TOML that loads to the same settings (but for masked secrets), each line with its origin."""
    lines: list[str] = []
    current = ""
    for name, value in _values(loaded):
        section, _, key = name.rpartition(".")
        if section != current:
            lines += [""] if lines else []
            lines.append(f"[{section}]")
            current = section
        setting = f"# {key} is not set" if value is None else f"{key} = {literal(value, quoted)}"
        lines.append(f"{setting:<48}  # {one_line(loaded.origin(name))}")
    return "\n".join(lines)


def _plain(value: object) -> object:
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else str(value)


def _values(loaded: Loaded) -> Iterator[tuple[str, object]]:
    for name, value in values(loaded.settings):
        yield name, masked_value(name, value)
