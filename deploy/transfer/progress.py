"""What an export or an import reports while it works, and how it is stopped. Never draws."""

from __future__ import annotations

from typing import Protocol


class Stopped(Exception):
    """The work was asked to stop, and has."""


class Progress(Protocol):
    """Where work is reported; `deploy.terminal.plain_progress.PlainProgress` is one. Costs next to nothing."""

    def stage(self, text: str, unit: str = "", total: float | None = None) -> None:
        """Begins another part of the work, which counts from 0."""

    def advance(self, by: float) -> None:
        """Adds to how much is done."""
