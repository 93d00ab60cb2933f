"""Draws how far an evaluation is: a bar with the rate on a terminal, nothing elsewhere. Never evaluates."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
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

STEP = 5_000  # messages between two updates: some twenty a second


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} messages/s")


class EvaluateProgress:
    """A bar over the messages, as a context manager; what is done apart from them is said before it."""

    def __init__(self, num_messages: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("past", total=num_messages)
        self._since = 0

    def __enter__(self) -> EvaluateProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """One message more."""
        self._since += 1
        if self._since == STEP:
            self._progress.update(self._task, advance=self._since)
            self._since = 0

    def stage(self, text: str) -> None:
        """What begins now."""
        self._progress.update(self._task, description=text)
