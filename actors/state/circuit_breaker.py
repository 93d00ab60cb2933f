"""The failures of the version in force, counted against a limit. Never chooses a version.

A version is tried before it goes live (swap.py), on the live rooms and on viewers who asked lately. One that fails for
others is found here: by requests that it cannot answer, and by changes of rooms that it cannot take in.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from streaming.metrics import Metrics

Task = Literal["requests", "changes of rooms", "reasons"]

LOGGER = logging.getLogger(__name__)

INSTEAD: Mapping[Task, str] = MappingProxyType(
    {
        "requests": "version 0's terms score",
        "changes of rooms": "it has rooms as they were",
        "reasons": "answers say no more than that rooms are live",
    }
)
LOGGED_MS = 60_000  # between two log lines: a version that fails does so in every request


class CircuitBreaker:
    """Failures in a row, of one version at a time. Noted under the tables' lock, read by any thread."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        """most: failures in a row after which a version is beyond use; 0: no limit."""
        self._most = most
        self._metrics = metrics
        self._version = ""
        self._in_a_row: dict[Task, int] = {}
        self._reason = ""
        self._logged_ms = -LOGGED_MS

    def note(self, version: str, err: Exception, now_ms: int, task: Task = "requests") -> None:
        """Counts a failure of a version at a task."""
        if version != self._version:
            self._version = version
            self._in_a_row.clear()
        self._in_a_row[task] = self._in_a_row.get(task, 0) + 1
        self._reason = f"{type(err).__name__}: {err}"
        self._metrics.count("model_failures_total", version=version, task=task)
        if now_ms - self._logged_ms >= LOGGED_MS:
            self._logged_ms = now_ms
            instead = INSTEAD[task]
            LOGGER.error("models: %s fails, and %s: %s", version, instead, self._reason, exc_info=err)

    def clear(self, version: str, task: Task = "requests") -> None:
        """Ends the row of failures: the version has done this task."""
        if version == self._version:
            self._in_a_row.pop(task, None)

    def beyond_use(self, version: str) -> str:
        """Why this version must not answer any longer; "" if it may."""
        if version == self._version and self._most > 0:
            for task, times in self._in_a_row.items():
                if times >= self._most and task != "reasons":  # without reasons the rooms are as good
                    return f"it failed {times} {task} in a row ({self._reason}); announce it again to try it again"
        return ""
