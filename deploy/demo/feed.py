"""The process that plays the platform while the demo watches. Never makes events itself.

It is a process of its own because in one process, playing and watching would take turns for Python's lock, which would
be measured then. It is the `tidecast` command, so that the demo shows nothing that a user could not do.
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

STOP_TIMEOUT_S = 3.0  # to flush its records; unsent ones are forgotten with the demo's Kafka


class FeedError(TidecastError):
    """The process that plays the platform has failed."""


class Feed:
    """A `tidecast` command in the background, with its output in a file. For one thread."""

    def __init__(self, arguments: Sequence[str], overrides: Mapping[str, str], log_file: Path) -> None:
        """Starts the command. overrides: environment variables beside this process's own."""
        self._log_file = log_file
        make_private(log_file.parent)
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", *arguments],
                env={**os.environ, **overrides},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo, which stops things in order
            )

    @property
    def pid(self) -> int:
        """The pid of the process."""
        return self._process.pid

    def require(self) -> None:
        """Checks the process. Raises FeedError: it has failed. One that has played everything is fine."""
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
