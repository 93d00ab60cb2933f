"""Owns `tidecast rooms`: the rooms that are live now. Never changes them."""

from __future__ import annotations

import argparse
import json
import time

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actors.answer import Room
from deploy.client import Client
from deploy.config import from_args

EPILOG = """\
examples:
  tidecast rooms                        live rooms, largest audience first
  tidecast rooms --language pt --limit 50
  tidecast rooms --json                 one JSON array
"""


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
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    asked = {"limit": args.limit, "language": args.language, "category": args.category}
    rooms = Client(from_args(args).http.url).rooms(
        **{name: value for name, value in asked.items() if value is not None}
    )
    if args.json:
        print(json.dumps(msgspec.to_builtins(rooms), ensure_ascii=False))
    else:
        show(Console(), rooms, time.time_ns() // 1_000_000)
    return 0


def show(console: Console, rooms: list[Room], now_ms: int) -> None:
    """Rooms as a table."""
    table = Table(box=None, pad_edge=False)
    for heading in ("viewers", "chat/min", "live for", "fresh"):
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    for heading in ("room", "title", "category", "language"):
        table.add_column(heading, overflow="ellipsis", no_wrap=True, min_width=len(heading))
    for room in rooms:
        minutes = max(0, now_ms - room.started_at_ms) // 60_000
        table.add_row(
            *(str(room.audience), str(room.chat_per_minute), f"{minutes} min", f"{room.receipt.age_ms / 1000:.1f} s"),
            *(Text(text) for text in (room.room, room.title, room.category, room.language)),
        )
    console.print(table if rooms else "no room is live")
