"""The command `tidecast rooms`: the rooms that are live now. Never changes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer

from deploy.commands.command_line import settings_of
from deploy.http.client import Client
from deploy.terminal.columns import Column, table
from deploy.terminal.console import console, say_json
from tidecast_client import Room

if TYPE_CHECKING:
    from rich.console import Console

MATURE: dict[str, bool | Literal["any"]] = {"none": False, "only": True, "any": "any"}
EPILOG = """\
examples:
  tidecast rooms                        live rooms, largest audience first
  tidecast rooms --language pt --limit 50
  tidecast rooms --json                 one JSON array

On a narrow terminal the columns that matter least are left out and long titles are cut; a pipe or a file gets it all.
"""
COLUMNS = (
    Column("viewers", right=True),
    Column("chat/min", right=True),
    Column("live for", rank=3, right=True),
    Column("fresh", rank=1, right=True),
    Column("room", least=24),
    Column("title", least=16),
    Column("category", rank=2, least=10),
    Column("language", rank=4, least=8),
)


def run(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(metavar="N", help="how many rooms")] = 20,
    language: Annotated[str | None, typer.Option(metavar="TAG", help="only rooms in this language")] = None,
    category: Annotated[str | None, typer.Option(metavar="NAME", help="only rooms of this category")] = None,
    mature: Annotated[
        Literal["none", "only", "any"], typer.Option(help="mature rooms: none, only these, or any room")
    ] = "any",
    json: Annotated[bool, typer.Option("--json", help="one JSON array instead of a table")] = False,
) -> int:
    """Asks the running system for the rooms that are live now, largest audience first."""
    http = settings_of(context).http
    with Client(http.url, token=http.token) as client:
        rooms = client.rooms(limit=limit, language=language, category=category, mature=MATURE[mature])
    if json:
        say_json(msgspec.to_builtins(rooms))
    else:
        show(console(), rooms, time.time_ns() // 1_000_000)
    return 0


def show(out: Console, rooms: list[Room], now_ms: int) -> None:
    """Prints rooms as a table that fits the console."""
    rows = [
        (
            *(str(room.audience), str(room.chat_per_minute), f"{max(0, now_ms - room.started_at_ms) // 60_000} min"),
            *(f"{room.receipt.age_ms / 1000:.1f} s", room.room, room.title, room.category, room.language),
        )
        for room in rooms
    ]
    out.print(table(COLUMNS, rows, out.width) if rows else "no room is live")
