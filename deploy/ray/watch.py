"""A watch that ends the processes a starter has started, once the starter ends, however that ends.

Never ends the processes of another. It is a process of its own, because one killed with `kill -9` cleans nothing up. It
has one end of a pipe whose other end is the starter's alone, and which the operating system closes with the starter. It
refers to the watched processes by descriptors and not by pids, which others may get.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from deploy.config.ray_settings import RayConfig
from deploy.ray.local_ray import LocalRay

GENTLE_S = 10.0  # for a process to end by itself: Kafka closes its files in two


class Watch:
    """A watch over one folder of Ray and some processes, for as long as this process lives. For one thread."""

    def __init__(self, folder: Path) -> None:
        """Starts the watch. Call it before the Ray in the folder starts, so that no moment is unwatched."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.ray.watch", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # its starter's terminal may be gone
            start_new_session=True,  # a signal to its starter's group or terminal must not end it
        )

    def also(self, pid: int) -> None:
        """Watches a process too, which was started just now."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody has killed the watch
                self._process.stdin.write(b"%d\n" % pid)
                self._process.stdin.flush()

    def end(self) -> None:
        """Ends the watch: everything has ended, or is to live on."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def main(folder: Path) -> None:
    """Waits until the other end of standard input is closed, then ends the processes. Blocks.

    Raises ClusterError: processes do not end.
    """
    held: list[int] = []
    for line in sys.stdin.buffer:
        with contextlib.suppress(ProcessLookupError):
            held.append(os.pidfd_open(int(line)))
    for process in held:
        _signal(process, signal.SIGTERM)
    LocalRay(RayConfig(), folder).kill()
    for process in held:
        if not select.select([process], [], [], GENTLE_S)[0]:
            _signal(process, signal.SIGKILL)


def _signal(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
