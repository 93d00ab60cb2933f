"""Follows chat and counts moves between channels and shared viewers, up to a message. Never ranks."""

from __future__ import annotations

from training.paths import MovesBetween
from training.visits import Kind


class MovesObserver:
    """An Observer (training/world.py) that stops counting after `until` messages: what a version may know."""

    def __init__(self, num_channels: int, until: int) -> None:
        self.paths = MovesBetween(num_channels)
        self._left = until
        self._habits: dict[int, dict[int, None]] = {}  # of each viewer, the channel visited last at the end

    def apply(self, at_us: int, viewer: int, channel: int, kind: int) -> None:
        """One message, in time order."""
        self._left -= 1
        if self._left < 0 or kind == Kind.NO_VISIT:
            return
        habits = self._habits.setdefault(viewer, {})
        if habits:
            self.paths.move(at_us // 1_000, next(reversed(habits)), channel, channel not in habits)
        if channel in habits:
            del habits[channel]
        else:
            self.paths.meet(channel, list(habits))
        habits[channel] = None
