"""The priority of training on a busy processor. Never learns."""

from __future__ import annotations

import os


def give_way(niceness: int) -> None:
    """Lowers the priority for good, as `nice` does. niceness: 0..19; a value below the present one changes nothing.

    It holds on Linux for this thread and those that it starts from now on, elsewhere for the process.
    """
    if niceness > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
