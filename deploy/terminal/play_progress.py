"""Draws how far a playback is: a bar with rates and time left on a terminal, a plain line elsewhere. Never plays."""

from __future__ import annotations

from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from deploy.terminal.bar import Bar
from deploy.terminal.console import one_line
from deploy.terminal.plain_progress import PlainProgress
from streaming.playback import Played


class PlayProgress(Bar):
    """A bar, as a context manager."""

    def __init__(self, what: str, unit: str, total: float | None) -> None:
        """unit: of what `done` counts. total: None where nobody knows when it ends."""
        columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()] if total is not None else []
        left = [TextColumn("left"), TimeRemainingColumn()] if total is not None else []
        rates = TextColumn("{task.fields[events]:,} events  {task.fields[rate]:,.0f}/s{task.fields[late]}")
        super().__init__(
            TextColumn("" if total is not None else "{task.description}"),
            *columns,
            rates,
            TimeElapsedColumn(),
            *left,
            plain=PlainProgress(what, unit, total),
        )
        self._task = self._progress.add_task(what, total=total, events=0, rate=0.0, late="")

    def update(self, done: float, played: Played) -> None:
        """`done` of `total`."""
        late = f"  {played.behind_s:.1f} s behind" if played.behind_s > 1 else ""
        self._plain.update(done, note=f"{played.events:,} events{late.replace('  ', ', ')}")
        rate = played.events / played.elapsed_s if played.elapsed_s > 0 else 0.0
        self._progress.update(self._task, completed=done, events=played.events, rate=rate, late=late)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(Text(one_line(text)), highlight=False)
