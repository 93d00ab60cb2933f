"""A `tidecast` command in the background, with its output in a file. Never says what the command is for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from streaming.machine.private_folder import make_private

STOP_TIMEOUT_S = 3.0  # to flush its records; unsent ones are forgotten with the demo's Kafka


class Child:
    """A `tidecast` command in the background. For one thread."""

    def __init__(
        self,
        arguments: Sequence[str],
        overrides: Mapping[str, str],
        log_file: Path,
        prepare: Callable[[], None] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Starts the command. overrides: environment variables beside this process's own.

        prepare: called in the child before the command begins. pass_fds: what the command inherits, by the same number.
        """
        self.log_file = log_file
        make_private(log_file.parent)
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", *arguments],
                env={**os.environ, **overrides},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo, which stops things in order
                pass_fds=pass_fds,
                preexec_fn=prepare,  # noqa: PLW1509  given only before there are other threads
            )

    @property
    def pid(self) -> int:
        """The pid of the process."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ends the process as Ctrl-C would, by force after STOP_TIMEOUT_S."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
