"""Owns what all bars of rich share: on stderr, gone in the end, shown while entered. Never knows what is counted.

Where stderr is no terminal, a plain line every half a minute takes the place of the bar.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from deploy.terminal.console import console
from deploy.terminal.plain_progress import PlainProgress


class Rate(ProgressColumn):
    """So many a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} {self._unit}/s")


class Bar:
    """A bar as a context manager; where there is no terminal, the plain line."""

    def __init__(self, *columns: ProgressColumn, plain: PlainProgress) -> None:
        """plain: the same in words; whoever moves the bar moves it too."""
        self._progress = Progress(*columns, console=console(stderr=True), transient=True)
        self._plain = plain

    def __enter__(self) -> Self:
        if self._progress.console.is_terminal:
            self._progress.start()
        else:
            self._plain.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress.console.is_terminal:
            self._progress.stop()
        else:
            self._plain.__exit__(kind, error, trace)


def counted(unit: str) -> tuple[ProgressColumn, ...]:
    """Columns of what is counted up to a known number: text, bar, count, rate, time."""
    return (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(unit), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
