"""Draws how far a playback is: a bar with rates and time left on a terminal, nothing elsewhere. Never plays."""

from __future__ import annotations

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deploy.bar import Bar
from streaming.playback import Played


class PlayProgress(Bar):
    """A bar, as a context manager. total: of what `done` counts; None where nobody knows when it ends."""

    def __init__(self, what: str, total: float | None) -> None:
        columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()] if total is not None else []
        left = [TextColumn("left"), TimeRemainingColumn()] if total is not None else []
        rates = TextColumn("{task.fields[events]:,} events  {task.fields[rate]:,.0f}/s{task.fields[late]}")
        super().__init__(
            TextColumn("" if total is not None else "{task.description}"),
            *columns,
            rates,
            TimeElapsedColumn(),
            *left,
        )
        self._task = self._progress.add_task(what, total=total, events=0, rate=0.0, late="")

    def update(self, done: float, played: Played) -> None:
        """`done` of `total`."""
        late = f"  {played.behind_s:.1f} s behind" if played.behind_s > 1 else ""
        rate = played.events / played.elapsed_s if played.elapsed_s > 0 else 0.0
        self._progress.update(self._task, completed=done, events=played.events, rate=rate, late=late)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(text, highlight=False)
