"""The process that plays the platform while the demo watches. Never makes events itself.

It is a process of its own because in one process, playing and watching would take turns for Python's lock, which would
be measured then. It is the `tidecast` command, so that the demo shows nothing that a user could not do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.demo.child import Child
from streaming.errors import TidecastError


class FeedError(TidecastError):
    """The process that plays the platform has failed."""


class Feed:
    """A `tidecast` command that plays a platform. For one thread."""

    def __init__(self, arguments: Sequence[str], overrides: Mapping[str, str], log_file: Path) -> None:
        """Starts the command. overrides: environment variables beside this process's own."""
        self._child = Child(arguments, overrides, log_file)

    @property
    def pid(self) -> int:
        """The pid of the process."""
        return self._child.pid

    def require(self) -> None:
        """Checks the process. Raises FeedError: it has failed. One that has played everything is fine."""
        if code := self._child.exit_code():
            log_file = self._child.log_file
            end = log_file.read_text(errors="replace")[-500:].strip()
            raise FeedError(f"the platform's process ended with {code}; the end of {log_file}: {end}")

    def stop(self) -> None:
        """Ends the process as Ctrl-C would."""
        self._child.stop()
