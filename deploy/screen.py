"""Owns how the demo looks: on a terminal a live screen, elsewhere a line every few seconds. Never fetches anything."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, TextIO

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from actors.answer import Answer
from deploy.picture import Picture, Trend

LINE_EVERY_S = 5.0
ITEMS_SHOWN = 6
TRENDS_SHOWN = 8


class Show(Protocol):
    """Where pictures go."""

    def update(self, picture: Picture) -> None:
        """Shows the newest picture. Cheap; called about once a second."""


class Lines:
    """One plain line every LINE_EVERY_S, for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next_s = 0.0

    def update(self, picture: Picture) -> None:
        if picture.elapsed_s >= self._next_s:
            self._next_s = picture.elapsed_s + LINE_EVERY_S
            print(line(picture), file=self._out, flush=True)


class Screen:
    """A screen that is drawn anew with each picture. A context manager: the terminal is given back at its end."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, screen=True)

    def __enter__(self) -> Screen:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def update(self, picture: Picture) -> None:
        self._live.update(draw(picture), refresh=True)


def line(picture: Picture) -> str:
    """The picture in one line: rates, freshness, and the first room of each answer with its reason."""
    first = "; ".join(
        f"{answer.viewer} -> {answer.rooms[0].room} ({answer.rooms[0].reason}, {answer.rooms[0].receipt.age_ms} ms old)"
        for answer in picture.answers
        if answer.rooms
    )
    return f"{picture.elapsed_s:4.0f} s  {_numbers(picture)}  {_plain(first)}"


def draw(picture: Picture) -> RenderableType:
    """The whole screen."""
    state = Text("every promise kept", "green") if not picture.broken else Text("; ".join(picture.broken), "bold red")
    head = Panel(
        Group(Text(_numbers(picture)), state), title=f"Tidecast, {picture.elapsed_s:.0f} s", subtitle="Ctrl-C stops"
    )
    return Group(head, Columns([_answer(answer) for answer in picture.answers], expand=True), _trends(picture.trends))


def _answer(answer: Answer) -> RenderableType:
    table = Table(title=_plain(f"{answer.viewer} is shown"), expand=True, title_justify="left")
    for name in ("room", "why", "age"):
        table.add_column(name, justify="right" if name == "age" else "left", overflow="ellipsis", no_wrap=True)
    for item in answer.rooms[:ITEMS_SHOWN]:
        table.add_row(_plain(f"{item.category}: {item.title}"), _plain(item.reason), Text(_age(item.receipt.age_ms)))
    return table


def _trends(trends: Sequence[Trend]) -> RenderableType:
    table = Table(title="rooms whose chat rises and falls", expand=True, title_justify="left")
    for name in ("room", "category", "title", "viewers", "chat/min", "in 10 s"):
        numeric = name in ("viewers", "chat/min", "in 10 s")
        table.add_column(name, justify="right" if numeric else "left", overflow="ellipsis", no_wrap=True)
    for trend in trends[:TRENDS_SHOWN]:
        arrow, style = ("▲", "green") if trend.change > 0 else ("▼", "red") if trend.change < 0 else (" ", "")
        room = trend.room
        table.add_row(
            _plain(room.room),
            _plain(room.category),
            _plain(room.title),
            str(room.audience),
            str(room.chat_per_minute),
            Text(f"{arrow} {trend.change:+d}", style),
        )
    return table


def _numbers(picture: Picture) -> str:
    rates = picture.rates
    return (
        f"{picture.rooms_live} rooms live, {picture.rooms_ended} ended | "
        f"{rates.events:.0f} events/s, {rates.texts:.0f} texts/s, {rates.answers:.0f} answers/s | "
        f"chat to servable p50 {_seconds(picture.freshness_p50_s)}, p99 {_seconds(picture.freshness_p99_s)} | "
        f"stale {picture.stale}, encoder waits {picture.backlog} | model {picture.model} | "
        f"{picture.checked} answers checked"
    )


def _plain(text: str) -> Text:
    """What producers wrote, for a terminal: no markup is read in it and nothing in it can move the cursor."""
    return Text("".join(character for character in text if character.isprintable()))


def _seconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1000:.0f} ms"


def _age(age_ms: int) -> str:
    return f"{age_ms} ms" if age_ms < 1000 else f"{age_ms / 1000:.1f} s"
