"""Time limits that grow where a machine is slow or busy. Never waits itself.

A limit in seconds is a guess about a machine. Here time counts by the processor share that a process gets: while other
processes, or a quota, leave it a third of a core, a second counts as a third of one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

SPIN_S = 0.03  # of processor time; less than some of the scheduler's slices would always be given at once
LOOK_EVERY_S = 1.0
LEAST_SHARE = 0.1  # so a limit grows tenfold at most: a process that never starts must be reported at last


def processor_share(spin_s: float = SPIN_S) -> float:
    """Measures the share of a core that this process gets now, 0 to 1: a short computation, timed by both clocks."""
    began_s, used_s = time.monotonic(), time.thread_time()
    while (spent_s := time.thread_time() - used_s) < spin_s:
        pass
    return min(1.0, spent_s / max(time.monotonic() - began_s, 1e-9))


class Patience:
    """A limit on a wait that begins at construction. For one thread."""

    def __init__(
        self,
        limit_s: float,
        *,
        share: Callable[[], float] = processor_share,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """limit_s: the limit on an idle machine."""
        self.limit_s = limit_s
        self.share = 1.0  # as measured last
        self._look, self._now_s = share, now_s
        self._left_s = limit_s
        self._began_s = self._seen_s = now_s()

    def is_over(self) -> bool:
        """Whether the wait has lasted too long for this machine. Call it often: it measures about once a second."""
        now_s = self._now_s()
        if now_s - self._seen_s >= LOOK_EVERY_S:
            self.share = self._look()
            self._left_s -= (now_s - self._seen_s) * max(self.share, LEAST_SHARE)
            self._seen_s = now_s
        return self._left_s <= 0

    def spent(self) -> str:
        """The time waited, in words for an error."""
        waited_s = self._now_s() - self._began_s
        busy = "" if self.share > 0.7 else f"; this machine is busy: a process gets {self.share:.0%} of a core"
        return f"{waited_s:.0f} s{busy}"


def free_cores(share: Callable[[], float] = processor_share) -> float:
    """How many cores this process and its children may use now: those allowed, times the measured share."""
    return len(os.sched_getaffinity(0)) * share()


def growth(share: Callable[[], float] = processor_share) -> float:
    """A factor for time limits of other software, 1 to 10, by the share that the machine gives just now."""
    return 1 / max(min(share(), 1.0), LEAST_SHARE)
