"""Owns time limits that grow where a machine is slow or busy. Never waits itself.

A limit in seconds is a guess about a machine. Here it is counted in what the machine gives: while other processes, or a
quota, leave a process a third of a core, a second counts as a third of one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

SPIN_S = 0.03  # of processor time; less than some of the scheduler's slices would always be given at once
LOOK_EVERY_S = 1.0
LEAST_SHARE = 0.1  # so a limit grows tenfold at most: what does not start at all has to be said some time


def processor_share(spin_s: float = SPIN_S) -> float:
    """The share of a core that this process is given now, 0 to 1: a short computation, timed by both clocks."""
    began_s, used_s = time.monotonic(), time.thread_time()
    while (spent_s := time.thread_time() - used_s) < spin_s:
        pass
    return min(1.0, spent_s / max(time.monotonic() - began_s, 1e-9))


class Patience:
    """A limit on a wait, from construction on. For one thread."""

    def __init__(
        self,
        limit_s: float,
        *,
        share: Callable[[], float] = processor_share,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """limit_s: on a machine that is free."""
        self.limit_s = limit_s
        self.share = 1.0  # as it was seen last
        self._look, self._now_s = share, now_s
        self._left_s = limit_s
        self._began_s = self._seen_s = now_s()

    def is_over(self) -> bool:
        """Whether the wait has lasted too long for this machine. Ask often: about once a second it looks at it."""
        now_s = self._now_s()
        if now_s - self._seen_s >= LOOK_EVERY_S:
            self.share = self._look()
            self._left_s -= (now_s - self._seen_s) * max(self.share, LEAST_SHARE)
            self._seen_s = now_s
        return self._left_s <= 0

    def spent(self) -> str:
        """How long it was waited, in words for an error."""
        waited_s = self._now_s() - self._began_s
        busy = "" if self.share > 0.7 else f"; this machine is busy: a process gets {self.share:.0%} of a core"
        return f"{waited_s:.0f} s{busy}"


def free_cores(share: Callable[[], float] = processor_share) -> float:
    """How many cores this process and its children may use now: those allowed, times the share that a look finds."""
    return len(os.sched_getaffinity(0)) * share()


def growth(share: Callable[[], float] = processor_share) -> float:
    """By how much a limit is to be multiplied that somebody else counts, 1 to 10: what the machine gives just now."""
    return 1 / max(min(share(), 1.0), LEAST_SHARE)
