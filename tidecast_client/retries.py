"""How often a request is sent again, and how long it waits before. Never sends one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retries:
    """Bounds on repeating a request. Only those that read, or that carry an Idempotency-Key, are sent twice.

    most: further attempts after the first, 0 for none. first_s: about the wait before the first of them; each next one
    is twice as long. longest_s: of one wait. An answer whose Retry-After is longer than that is not waited for.
    """

    most: int = 3
    first_s: float = 0.1
    longest_s: float = 10.0

    def __post_init__(self) -> None:
        if self.most < 0 or self.first_s < 0 or self.longest_s < 0:
            raise ValueError(f"a bound of {self} is negative")

    def wait_s(
        self, attempt: int, retry_after_s: float | None, share: Callable[[], float] = random.random
    ) -> float | None:
        """The wait before attempt number `attempt` (1: the first repetition); None: give up.

        It never ends before a Retry-After, and is up to twice as long by chance, so that many callers do not come back
        at one moment. share: draws from 0 to 1.
        """
        if attempt > self.most:
            return None
        least_s = min(self.first_s * 2.0 ** (attempt - 1), self.longest_s) / 2
        if retry_after_s is None:
            return least_s * (1 + share())
        if retry_after_s > self.longest_s:
            return None
        return retry_after_s + least_s * share()


NO_RETRIES = Retries(most=0)
