"""Owns `tidecast recommend`: what a viewer would be shown now, and why. Never computes it."""

from __future__ import annotations

import argparse
import time

import msgspec
from msgspec import UNSET
from rich.console import Group
from rich.live import Live
from rich.text import Text

from actors.answer import Answer, Filters, Item, Mature, Query
from deploy.http.client import Client
from deploy.terminal.columns import Column, table
from deploy.terminal.console import console, one_line, say_json

EPILOG = """\
examples:
  tidecast recommend viewer-1                rooms for a viewer, best first, each with the reason and how fresh it is
  tidecast recommend viewer-1 --explain      and what each score is the sum of
  tidecast recommend viewer-1 --watch        asked anew every second until Ctrl-C
  tidecast recommend nobody --language pt --limit 5
  tidecast recommend viewer-1 --json         the answer as it comes

fresh: how old the newest text is that the room's vector saw. A viewer nobody knows is served as a stranger.
"""
WATCH_EVERY_S = 1.0
COLUMNS = (
    Column("", right=True),
    Column("score", rank=3, right=True),
    Column("viewers", rank=2, right=True),
    Column("fresh", right=True),
    Column("room", least=24),
    Column("title", least=16),
    Column("category", rank=1, least=10),
    Column("why", least=20),
)
MATURE: dict[str | None, Mature] = {"none": False, "only": True, "any": "any"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "recommend",
        help="what a viewer would be shown now, and why",
        description="Asks the running system what a viewer would be shown now.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("viewer", metavar="VIEWER")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="how many rooms (10)")
    parser.add_argument("--language", metavar="TAG", help='only rooms in this language, for example "pt" or "pt-BR"')
    parser.add_argument("--category", metavar="NAME", help="only rooms of this category")
    parser.add_argument("--mature", choices=MATURE, help="mature rooms: none, only these, or any room")
    parser.add_argument("--exclude", metavar="ROOM", action="append", default=[], help="not this room; repeatable")
    parser.add_argument("--explain", action="store_true", help="show what each score is the sum of")
    parser.add_argument("--watch", action="store_true", help="ask again every second until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="the answer as one JSON object per line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from deploy.config.settings import from_args  # noqa: PLC0415  the help needs none of this

    client = Client(from_args(args).http.url)
    query = Query(
        viewer=args.viewer,
        limit=args.limit,
        exclude=args.exclude,
        filters=Filters(language=args.language, category=args.category, mature=MATURE.get(args.mature)),
        explain=args.explain,
    )
    if args.watch:
        return _watch(client, query, as_json=args.json)
    answer = client.recommend(query)
    if args.json:
        say_json(msgspec.to_builtins(answer))
    else:
        out = console()
        out.print(picture(answer, out.width))
    return 0


def _watch(client: Client, query: Query, *, as_json: bool) -> int:
    try:
        if as_json:
            while True:
                say_json(msgspec.to_builtins(client.recommend(query)), flush=True)
                time.sleep(WATCH_EVERY_S)
        out = console()
        with Live(picture(client.recommend(query), out.width), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_EVERY_S)
                live.update(picture(client.recommend(query), out.width), refresh=True)
    except KeyboardInterrupt:
        return 0


def picture(answer: Answer, width: int) -> Group:
    """An answer as a table of at most `width` cells; with what the scores are the sums of on a line of their own."""
    who = answer.viewer if answer.known else f"{answer.viewer} (a stranger)"
    clock = time.strftime("%H:%M:%S", time.localtime(answer.generated_at_ms / 1000))
    head = f"{clock}   {answer.live_rooms} rooms live   model {answer.model_version}   {who}"
    rows = [
        (
            *(str(rank), f"{item.score:.3f}", str(item.audience), _age(item.receipt.age_ms)),
            *(item.room, item.title, item.category, item.reason),
        )
        for rank, item in enumerate(answer.rooms, 1)
    ]
    return Group(
        _cut(head),
        table(COLUMNS, rows, width) if rows else Text("no live room matches"),
        *(_cut(f"{rank:>2} {_sum(item)}") for rank, item in enumerate(answer.rooms, 1) if item.terms is not UNSET),
    )


def _cut(text: str) -> Text:
    return Text(one_line(text), no_wrap=True, overflow="ellipsis")


def _sum(item: Item) -> str:
    terms = sorted(item.terms.items(), key=lambda term: -abs(term[1])) if item.terms is not UNSET else []
    return f"{item.score:.3f} = {' '.join(f'{name} {value:+.3f}' for name, value in terms if value)}"


def _age(age_ms: int) -> str:
    return f"{age_ms / 1000:.1f} s" if age_ms < 60_000 else f"{age_ms / 60_000:.0f} min"
