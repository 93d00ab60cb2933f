"""Ends a Ray of ours when the process that started it ends, however that ends. Never ends what another has started.

A process of its own: whoever is killed with `kill -9` cleans nothing up. It holds one end of a pipe whose other end is
the starter's alone; the system closes that with the starter, and no pid that another process may get is asked after.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy.cluster import LocalRay, RayConfig


class Watch:
    """Over one folder of Ray, for as long as this process lives. For one thread."""

    def __init__(self, folder: Path) -> None:
        """Starts watching; before the Ray in the folder starts, so that there is no moment without."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.watch", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # its starter's terminal may be gone
            start_new_session=True,  # what ends its starter by group or terminal must not end it
        )

    def end(self) -> None:
        """No longer watches: the Ray has ended, or is to live on."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


def main(folder: Path) -> None:
    """Blocks until the other end of standard input is closed. Raises ClusterError: processes do not end."""
    sys.stdin.buffer.read()
    LocalRay(RayConfig(), folder).kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
