"""The word to the workers of a host that it goes, as a file in the host's own folder. Never ends a process.

Serve stops a worker in order once its successor runs elsewhere. Where none can, as when all hosts of an installation go
at once, a worker would be killed, and its partitions stand still until its session has timed out. Told before, it
commits and leaves its group, and another installation has the partitions at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

FILE = "leave"
PERIOD_S = 0.5


class Leaving(threading.Thread):
    """Waits for the file, then calls `leave` once. A file that is there from before, of another time, says nothing."""

    def __init__(self, folder: Path, leave: Callable[[], None]) -> None:
        super().__init__(name="leaving", daemon=True)
        self._file = folder / FILE
        self._leave = leave
        self._before = self._found()

    def run(self) -> None:
        pause = threading.Event()
        while self._found() in (None, self._before):
            pause.wait(PERIOD_S)
        self._leave()

    def _found(self) -> tuple[int, int] | None:
        """What tells this file from another of the same name, whatever the clock did; None where there is none."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
