"""Owns `tidecast rooms`: the rooms that are live now. Never changes them."""

from __future__ import annotations

import argparse
import time

import msgspec
from rich.console import Console

from actors.answer import Room
from deploy.http.client import Client
from deploy.terminal.columns import Column, table
from deploy.terminal.console import console, say_json

MATURE = {"none": "false", "only": "true", "any": "any"}
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


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "rooms",
        help="the rooms that are live now",
        description="Asks the running system for the rooms that are live now, largest audience first.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many rooms (20)")
    parser.add_argument("--language", metavar="TAG", help="only rooms in this language")
    parser.add_argument("--category", metavar="NAME", help="only rooms of this category")
    parser.add_argument(
        "--mature", choices=MATURE, default="any", help="mature rooms: none, only these, or any room (any)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.config.settings import from_args  # noqa: PLC0415  the help needs none of this

    asked = {"limit": args.limit, "language": args.language, "category": args.category, "mature": MATURE[args.mature]}
    rooms = Client(from_args(args).http.url).rooms(
        **{name: value for name, value in asked.items() if value is not None}
    )
    if args.json:
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
