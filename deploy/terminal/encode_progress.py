"""Draws how many texts are encoded: a bar with rate and time left, without a terminal a line. Never encodes."""

from __future__ import annotations

from deploy.terminal.bar import Bar, counted
from deploy.terminal.plain_progress import PlainProgress


class EncodeProgress(Bar):
    """A bar over the texts that the cache lacks."""

    def __init__(self) -> None:
        super().__init__(*counted("texts"), plain=PlainProgress("encoding", "texts"))
        self._task = self._progress.add_task("encoding", total=None)

    def encoded(self, done: int, total: int) -> None:
        """Of the texts that were missing at the start."""
        self._progress.update(self._task, completed=done, total=total)
        self._plain.update(done, total)
