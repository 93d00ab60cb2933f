"""Owns the process that plays the platform while the demo watches. Never makes events itself.

A process of its own: it would otherwise take turns with the watching for Python's lock, and what is measured would be
that. It is the `tidecast` command, so that the demo shows nothing that a user could not do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from streaming.errors import TidecastError
from streaming.private_folder import make_private

STOP_TIMEOUT_S = 3.0  # it flushes what it has sent; what it does not make is forgotten with the demo's Kafka


class FeedError(TidecastError):
    """The process that plays the platform has failed."""


class Feed:
    """One `tidecast` command in the background, what it prints in a file. For one thread."""

    def __init__(self, arguments: Sequence[str], overrides: Mapping[str, str], log_file: Path) -> None:
        """Starts it. overrides: environment variables beside this process's own."""
        self._log_file = log_file
        make_private(log_file.parent)
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", *arguments],
                env={**os.environ, **overrides},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo, which stops things in their order
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def require(self) -> None:
        """Raises FeedError where the process has failed; one that has played everything is fine."""
        code = self._process.poll()
        if code:
            end = self._log_file.read_text(errors="replace")[-500:].strip()
            raise FeedError(f"the platform's process ended with {code}; the end of {self._log_file}: {end}")

    def stop(self) -> None:
        """Ends the process as Ctrl-C would, by force after STOP_TIMEOUT_S."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
