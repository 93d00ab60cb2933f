"""Owns how much of a busy processor training takes. Never learns."""

from __future__ import annotations

import os


def give_way(niceness: int) -> None:
    """Lets others have the processor first, as `nice` does, for good. 0..19; less than already given changes nothing.

    On Linux this thread and those that it starts from now on, elsewhere the process.
    """
    if niceness > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
