"""Owns every metric: its name, its labels, and how all processes of a node are read together. The one door to prometheus.

Labels are bounded: never a room, a viewer or a text.
"""

from __future__ import annotations

from typing import Protocol


class Metrics(Protocol):
    """Where counts go. Cheap (about a microsecond), from any thread, never raises for a declared metric."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Adds to a counter. Raises KeyError where the table does not declare it."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Sets a gauge of this process."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Adds an observation to a histogram."""
