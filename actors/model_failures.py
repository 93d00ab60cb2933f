"""Counts how often the version in force fails a request, and says when that is too often. Never chooses a version.

A version is tried before it goes live (swap.py), on viewers who asked lately; one that fails for others is found here.
"""

from __future__ import annotations

import logging

from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

SAID_MS = 60_000  # between two lines of the log: a version that fails does so in every request


class ModelFailures:
    """Failures in a row, of one version at a time. Noted under the lock of the tables, read by any thread."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        """most: failures in a row after which a version is beyond use; 0: it never is."""
        self._most = most
        self._metrics = metrics
        self._version = ""
        self._in_a_row = 0
        self._reason = ""
        self._said_ms = -SAID_MS

    def note(self, version: str, err: Exception, now_ms: int) -> None:
        """A request that the version failed."""
        if version != self._version:
            self._version, self._in_a_row = version, 0
        self._in_a_row += 1
        self._reason = f"{type(err).__name__}: {err}"
        self._metrics.count("model_failures_total", version=version)
        if now_ms - self._said_ms >= SAID_MS:
            self._said_ms = now_ms
            LOGGER.error("models: %s fails, and version 0's terms score: %s", version, self._reason, exc_info=err)

    def clear(self, version: str) -> None:
        """A request that the version has scored."""
        if version == self._version:
            self._in_a_row = 0

    def beyond_use(self, version: str) -> str:
        """Why this version must not answer any longer; "" where it may."""
        if version != self._version or not 0 < self._most <= self._in_a_row:
            return ""
        return f"it failed {self._in_a_row} requests in a row ({self._reason}); announce it again to try it again"
