"""A supervisor of one host's Ray, as systemd or Kubernetes is: what ends is started again. Never asks why it ended."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Protocol

LOOK_S = 0.2
END_S = 30.0  # for a supervisor that is just clearing its host


class Clearable(Protocol):
    """A host whose processes can all be ended."""

    def kill(self) -> None:
        """Ends every process, until none is left."""


class Supervisor(threading.Thread):
    """Runs a command on a host for as long as the host is up; between two runs nothing is left of the first one.

    That is what a container restart does, and systemd with `KillMode=control-group` (its default) and `Restart=always`.
    """

    def __init__(
        self, name: str, host: Clearable, start: Callable[[], subprocess.Popen[bytes]], restart_s: float
    ) -> None:
        """restart_s: between the end of one run and the next, as systemd's RestartSec."""
        super().__init__(name=f"supervisor of {name}", daemon=True)
        self._host = host
        self._start = start
        self._restart_s = restart_s
        self._halt = threading.Event()

    def run(self) -> None:
        while not self._halt.is_set():
            process = self._start()
            while process.poll() is None:
                if self._halt.wait(LOOK_S):
                    return
            self._host.kill()
            self._halt.wait(self._restart_s)

    def halt(self) -> None:
        """Stops looking after the host, whose processes live on."""
        self._halt.set()
        self.join(END_S)
        assert not self.is_alive(), f"the {self.name} does not end"
