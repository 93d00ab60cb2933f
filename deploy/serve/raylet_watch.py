"""A watch over the raylet that has started this process, which Ray ends soon after it. Never ends anything itself."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable


def once_ended(pid: int, act: Callable[[], object]) -> None:
    """Calls `act` in a thread of its own once another process has ended. Raises ProcessLookupError: it has already."""
    descriptor = os.pidfd_open(pid)

    def wait() -> None:
        select.select([descriptor], [], [])
        os.close(descriptor)
        act()

    threading.Thread(target=wait, name="raylet-watch", daemon=True).start()
