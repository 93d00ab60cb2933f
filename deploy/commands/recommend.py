"""The command `tidecast recommend`: what a viewer would be shown now, and why. Never computes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import typer
from msgspec import UNSET

from deploy.commands.command_line import settings_of
from deploy.http.client import Client
from deploy.http.requests.goals_text import ALLOWED, goals_of_text
from deploy.terminal.columns import Column, table
from deploy.terminal.console import console, one_line, say_json
from tidecast_client import Answer, Context, Filters, Goals, Item, Steer

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

EPILOG = """\
examples:
  tidecast recommend viewer-1                rooms for a viewer, best first, each with the reason and how fresh it is
  tidecast recommend viewer-1 --explain      and what each score is the sum of
  tidecast recommend viewer-1 --watch        asked anew every second until Ctrl-C
  tidecast recommend nobody --language pt --limit 5
  tidecast recommend nobody --tag retro --max-audience 50 --max-age 3600
  tidecast recommend nobody --recent room-7 --recent streamer-3 --prefer-language pt
  tidecast recommend viewer-1 --goals stay:4,leave:2             by what a learned version says of staying
  tidecast recommend viewer-1 --towards "chess endgames"          rooms about this come up
  tidecast recommend viewer-1 --version v0                        as the baseline ranker has it
  tidecast recommend viewer-1 --json         the answer as it comes

fresh: how old the newest text is that the room's vector saw. A viewer without a profile is a cold-start viewer.
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
MATURE: dict[str | None, bool | Literal["any"]] = {"none": False, "only": True, "any": "any"}


def run(
    context: typer.Context,
    viewer: Annotated[str, typer.Argument(metavar="VIEWER")],
    *,
    limit: Annotated[int, typer.Option(metavar="N", help="how many rooms")] = 10,
    language: Annotated[
        str | None, typer.Option(metavar="TAG", help='only rooms in this language, for example "pt" or "pt-BR"')
    ] = None,
    category: Annotated[str | None, typer.Option(metavar="NAME", help="only rooms of this category")] = None,
    mature: Annotated[
        Literal["none", "only", "any"] | None, typer.Option(help="mature rooms: none, only these, or any room")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="only rooms with this tag; repeatable")] = None,
    tags_match: Annotated[
        Literal["all", "any"], typer.Option(help="whether a room must have every --tag, or any of them")
    ] = "all",
    min_audience: Annotated[int | None, typer.Option(metavar="N", help="only rooms with so many viewers")] = None,
    max_audience: Annotated[int | None, typer.Option(metavar="N", help="only rooms with at most so many")] = None,
    min_age: Annotated[int | None, typer.Option(metavar="S", help="only rooms that began so many seconds ago")] = None,
    max_age: Annotated[int | None, typer.Option(metavar="S", help="only rooms that began at most so long ago")] = None,
    max_receipt_age: Annotated[
        int | None, typer.Option(metavar="MS", help="only rooms whose newest text is at most so old")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="ROOM", help="not this room; repeatable")] = None,
    exclude_streamer: Annotated[
        list[str] | None, typer.Option(metavar="STREAMER", help="no room of this streamer; repeatable")
    ] = None,
    recent: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="a room or streamer where an unknown viewer was, the latest first; repeatable"),
    ] = None,
    prefer_language: Annotated[
        str | None, typer.Option(metavar="TAG", help="rooms in this language first, for an unknown viewer")
    ] = None,
    goals: Annotated[
        str, typer.Option(metavar="GOALS", help=f"what the list is for: {ALLOWED}; needs a learned version")
    ] = "",
    towards: Annotated[
        str, typer.Option(metavar="TEXT", help="pull the list towards rooms that are about this text")
    ] = "",
    version: Annotated[
        str, typer.Option(metavar="VERSION", help='by this version, of those that answer: "v0" or the live one')
    ] = "",
    explain: Annotated[bool, typer.Option("--explain", help="show what each score is the sum of")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="ask again every second until Ctrl-C")] = False,
    json: Annotated[bool, typer.Option("--json", help="the answer as one JSON object per line")] = False,
) -> int:
    """Asks the running system what a viewer would be shown now."""

    http = settings_of(context).http
    client = Client(http.url, token=http.token)
    filters = Filters(
        language=language,
        category=category,
        mature=MATURE.get(mature),
        tags=tag or (),
        tags_match=tags_match,
        min_audience=min_audience,
        max_audience=max_audience,
        min_age_s=min_age,
        max_age_s=max_age,
        max_receipt_age_ms=max_receipt_age,
    )
    ask = partial(
        client.recommend,
        viewer,
        limit=limit,
        exclude=exclude or (),
        exclude_streamers=exclude_streamer or (),
        filters=filters,
        context=Context(recent=recent or (), language=prefer_language) if recent or prefer_language else None,
        goals=goals_of_text(goals, Goals),
        steer=Steer(text=towards) if towards else None,
        version=version,
        explain=explain,
        shown=False,
    )
    if watch:
        return _watch(ask, as_json=json)
    answer = ask()
    if json:
        say_json(msgspec.to_builtins(answer))
    else:
        out = console()
        out.print(picture(answer, out.width))
    return 0


def _watch(ask: Callable[[], Answer], *, as_json: bool) -> int:
    from rich.live import Live  # noqa: PLC0415  rich is slow to import, and `--help` needs none of it

    try:
        if as_json:
            while True:
                say_json(msgspec.to_builtins(ask()), flush=True)
                time.sleep(WATCH_EVERY_S)
        out = console()
        with Live(picture(ask(), out.width), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_EVERY_S)
                live.update(picture(ask(), out.width), refresh=True)
    except KeyboardInterrupt:
        return 0


def picture(answer: Answer, width: int) -> Group:
    """An answer as a table of at most `width` cells. The terms of the scores, if any, are on lines of their own."""
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    who = answer.viewer if answer.known else f"{answer.viewer} (no profile: a cold-start viewer)"
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
        *map(_cut, _without_effect(answer)),
        table(COLUMNS, rows, width) if rows else Text("no live room matches"),
        *(_cut(f"{rank:>2} {_sum(item)}") for rank, item in enumerate(answer.rooms, 1) if item.terms is not UNSET),
    )


def _without_effect(answer: Answer) -> list[str]:
    """What was asked for and changed nothing, a line for each."""
    said = []
    if answer.goals_used is False:
        said.append(f"the goals have no effect: {answer.model_version} says nothing of what follows entering")
    if answer.goals_ignored:
        said.append(f"without effect: {', '.join(answer.goals_ignored)}, which {answer.model_version} has not learned")
    if answer.steer and answer.steer.text == "unavailable":
        said.append("the text pulls nothing: the Encoder is away, or busy")
    return said


def _cut(text: str) -> Text:
    from rich.text import Text  # noqa: PLC0415

    return Text(one_line(text), no_wrap=True, overflow="ellipsis")


def _sum(item: Item) -> str:
    terms = sorted(item.terms.items(), key=lambda term: -abs(term[1])) if item.terms is not UNSET else []
    return f"{item.score:.3f} = {' '.join(f'{name} {value:+.3f}' for name, value in terms if value)}"


def _age(age_ms: int) -> str:
    return f"{age_ms / 1000:.1f} s" if age_ms < 60_000 else f"{age_ms / 60_000:.0f} min"
