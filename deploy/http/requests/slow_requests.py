"""Log lines about requests that took long, each with its id. Never measures one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

LOGGER = logging.getLogger(__name__)

EVERY_S = 1.0  # between two lines: where everything is slow, lines would make it slower


class SlowRequests:
    """Notes requests that took too long, a line a second at most. For one event loop."""

    def __init__(self, slow_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        """slow_s: from so many seconds on a request is slow; 0: none is."""
        self._slow_s = slow_s or float("inf")
        self._now_s = now_s
        self._next_s = 0.0
        self._unsaid = 0

    def note(self, method: str, path: str, request_id: str, took_s: float) -> None:
        """Logs a request if it was slow. took_s: from when its body was there to its answer."""
        if took_s < self._slow_s:
            return
        now_s = self._now_s()
        if now_s < self._next_s:
            self._unsaid += 1
            return
        self._next_s = now_s + EVERY_S
        unsaid = f", and {self._unsaid} more since the line before" if self._unsaid else ""
        self._unsaid = 0
        LOGGER.warning("%s %s took %.0f ms, request %s%s", method, path, took_s * 1e3, request_id, unsaid)
