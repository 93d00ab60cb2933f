"""The look of the demo: on a terminal a live screen, elsewhere a line every few seconds. Never fetches anything."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.demo.snapshot import Picture, Trend
from deploy.terminal.columns import Column, table
from deploy.terminal.console import one_line, say
from tidecast_client import Answer

LINE_EVERY_S = 5.0
HINT = "Ctrl-C stops"
ITEMS_SHOWN = 6
TRENDS_SHOWN = 8
SIDE_BY_SIDE = 72  # cells: on a narrower terminal the answers of three viewers stand one below the other
ANSWER_FRAME = 2  # lines of an answer that are no room: the title and the headings
TREND_FRAME = 3
ANSWER_COLUMNS = (Column("room", least=8), Column("why", least=8), Column("age", right=True))
TREND_COLUMNS = (
    Column("room", rank=2, least=10),
    Column("category", rank=1, least=8),
    Column("title", least=12),
    Column("viewers", rank=3, right=True),
    Column("chat/min", right=True),
    Column("in 10 s", right=True),
)


class Show(Protocol):
    """The output of pictures."""

    def update(self, picture: Picture) -> None:
        """Shows the newest picture. Cheap; called about once a second."""


class ScreenLines:
    """An output of one plain line every LINE_EVERY_S, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next_s = 0.0

    def update(self, picture: Picture) -> None:
        if picture.elapsed_s >= self._next_s:
            self._next_s = picture.elapsed_s + LINE_EVERY_S
            say(line(picture), file=self._out, flush=True)


class Screen:
    """A screen that is drawn anew with each picture. A context manager: it restores the terminal at its end."""

    def __init__(self, console: Console, hint: str = HINT) -> None:
        """hint: a line about what one can do."""
        self._hint = hint
        self._live = Live(console=console, auto_refresh=False, screen=True)

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def update(self, picture: Picture) -> None:
        size = self._live.console.size
        self._live.update(draw(picture, size.width, size.height, self._hint), refresh=True)


def line(picture: Picture) -> str:
    """The picture in one line: rates, freshness, and the first room of each answer with its reason."""
    first = "; ".join(
        f"{answer.viewer} -> {answer.rooms[0].room} ({answer.rooms[0].reason}, {answer.rooms[0].receipt.age_ms} ms old)"
        for answer in picture.answers
        if answer.rooms
    )
    return f"{picture.elapsed_s:4.0f} s  {_numbers(picture)}  {one_line(first)}"


def draw(picture: Picture, width: int, height: int, hint: str = HINT) -> RenderableType:
    """The whole screen for a terminal of that size: the answers come first, then as many trends as fit."""
    head = Panel(_head(picture), title=f"Tidecast, {picture.elapsed_s:.0f} s", subtitle=hint)
    used = measured_height(head, width)
    side_by_side = width >= SIDE_BY_SIDE
    share = (height - used - TREND_FRAME) // 2 - ANSWER_FRAME
    items = max(1, min(ITEMS_SHOWN, share if side_by_side else share // max(1, len(picture.answers))))
    answers = _answers(picture.answers, items, width, side_by_side=side_by_side)
    left = height - used - measured_height(answers, width) - TREND_FRAME
    return Group(head, answers, *([_trends(picture.trends[: min(TRENDS_SHOWN, left)], width)] if left > 0 else []))


def measured_height(renderable: RenderableType, width: int) -> int:
    """The number of lines that something takes on a terminal of that width."""
    console = Console(width=width, height=1_000, file=StringIO(), force_terminal=True)
    return len(console.render_lines(renderable))


def _head(picture: Picture) -> Group:
    state = Text("every promise kept", "green")
    if picture.slow:
        state = Text(f"slow machine: {'; '.join(picture.slow)}", "yellow")
    if picture.broken:
        state = Text("; ".join(picture.broken), "bold red")
    return Group(Text(_numbers(picture)), state)


def _answers(answers: Sequence[Answer], items: int, width: int, *, side_by_side: bool) -> RenderableType:
    if not side_by_side:
        return Group(*(_answer(answer, items, width) for answer in answers))
    grid = Table.grid(expand=True, padding=(0, 1))
    each = (width - 2 * len(answers)) // max(1, len(answers))
    for _ in answers:
        grid.add_column(ratio=1)
    grid.add_row(*(_answer(answer, items, each) for answer in answers))
    return grid


def _answer(answer: Answer, items: int, width: int) -> RenderableType:
    shown = [
        (f"{item.category}: {item.title}", item.reason, _age(item.receipt.age_ms)) for item in answer.rooms[:items]
    ]
    title = Text(one_line(f"{answer.viewer} is shown"), "italic", no_wrap=True, overflow="ellipsis")
    return Group(title, table(ANSWER_COLUMNS, shown, width))


def _trends(trends: Sequence[Trend], width: int) -> RenderableType:
    rows = []
    for trend in trends:
        arrow, style = ("▲", "green") if trend.change > 0 else ("▼", "red") if trend.change < 0 else (" ", "")
        room = trend.room
        figures = (str(room.audience), str(room.chat_per_minute))
        rows.append((room.room, room.category, room.title, *figures, Text(f"{arrow} {trend.change:+d}", style)))
    title = Text("rooms whose chat rises and falls", "italic", no_wrap=True, overflow="ellipsis")
    return Group(Text(), title, table(TREND_COLUMNS, rows, width))


def _numbers(picture: Picture) -> str:
    rates = picture.rates
    return (
        f"{picture.rooms_live} rooms live, {picture.rooms_ended} ended | "
        f"{rates.events:.0f} events/s, {rates.texts:.0f} texts/s, {rates.answers:.0f} answers/s | "
        f"chat to servable p50 {_seconds(picture.freshness_p50_s)}, p99 {_seconds(picture.freshness_p99_s)} | "
        f"stale {picture.stale}, encoder waits {picture.backlog} | model {picture.model} | "
        f"{picture.checked} answers checked"
    )


def _seconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1000:.0f} ms"


def _age(age_ms: int) -> str:
    return f"{age_ms} ms" if age_ms < 1000 else f"{age_ms / 1000:.1f} s"
