"""Draws how far a recording has been checked: a bar on a terminal, a plain line elsewhere. Never checks."""

from __future__ import annotations

from rich.progress import TextColumn, TimeElapsedColumn

from deploy.terminal.bar import Bar, Rate
from deploy.terminal.plain_progress import PlainProgress


class CheckProgress(Bar):
    """Rows read so far, as a context manager. How many there will be, nobody knows before."""

    def __init__(self, what: str) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            TextColumn("{task.completed:,.0f} rows"),
            Rate("rows"),
            TimeElapsedColumn(),
            plain=PlainProgress(what, "rows"),
        )
        self._task = self._progress.add_task(what, total=None)

    def update(self, rows: int) -> None:
        """So many rows have been read."""
        self._progress.update(self._task, completed=rows)
        self._plain.update(rows)
