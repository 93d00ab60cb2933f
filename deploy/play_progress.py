"""Draws how far a playback is: a bar with rates and time left on a terminal, nothing elsewhere. Never plays."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from streaming.playback import Played


class PlayProgress:
    """A bar, as a context manager. total: of what `done` counts; None where nobody knows when it ends."""

    def __init__(self, what: str, total: float | None) -> None:
        columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()] if total is not None else []
        left = [TextColumn("left"), TimeRemainingColumn()] if total is not None else []
        rates = TextColumn("{task.fields[events]:,} events  {task.fields[rate]:,.0f}/s{task.fields[late]}")
        self._progress = Progress(
            TextColumn("" if total is not None else "{task.description}"),
            *columns,
            rates,
            TimeElapsedColumn(),
            *left,
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total, events=0, rate=0.0, late="")

    def __enter__(self) -> PlayProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, done: float, played: Played) -> None:
        """`done` of `total`."""
        late = f"  {played.behind_s:.1f} s behind" if played.behind_s > 1 else ""
        rate = played.events / played.elapsed_s if played.elapsed_s > 0 else 0.0
        self._progress.update(self._task, completed=done, events=played.events, rate=rate, late=late)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(text, highlight=False)
