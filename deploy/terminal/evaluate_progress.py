"""Draws how far an evaluation is: a bar with the rate on a terminal, a plain line elsewhere. Never evaluates."""

from __future__ import annotations

from deploy.terminal.bar import Bar, counted
from deploy.terminal.plain_progress import EVERY_S, PlainProgress

STEP = 5_000  # messages between two updates: some twenty a second


class EvaluateProgress(Bar):
    """A bar over the messages; what is done apart from them is said before it."""

    def __init__(self, num_messages: int, num_train: int, every_s: float = EVERY_S) -> None:
        """num_train: of the messages, those that are the past, of which few are ranked: they go by faster."""
        self._messages = {"past": num_train, "test": num_messages - num_train}
        super().__init__(*counted("messages"), plain=PlainProgress("evaluate", "messages", num_train, every_s=every_s))
        self._task = self._progress.add_task("past", total=num_messages)
        self._since = 0

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """One message more."""
        self._since += 1
        if self._since == STEP:
            self._progress.update(self._task, advance=self._since)
            self._plain.advance(self._since)
            self._since = 0

    def stage(self, text: str) -> None:
        """What begins now."""
        self._progress.update(self._task, description=text)
        total = self._messages.get(text)
        self._plain.stage(text, "messages" if total is not None else "", total)
