"""The time since something was sent, and the wait until the system shows it. Never asks anything by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from deploy.console.api import Api
from streaming.clock import Clock
from tidecast_client import Answer, Query

LOOK_EVERY_S = 0.05


class Watch:
    """Begins when it is made. For the event loop alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_s = clock.monotonic_s()

    @property
    def passed_ms(self) -> float:
        """Milliseconds since it began."""
        return (self._clock.monotonic_s() - self._began_s) * 1000

    async def comes(self, is_so: Callable[[], Awaitable[bool]], give_up_s: float) -> bool:
        """Waits until it is so; whether it came to be before so many seconds had passed. Raises what `is_so` raises."""
        while not await is_so():
            if self.passed_ms > give_up_s * 1000:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True


async def lists(api: Api, queries: Sequence[Query]) -> list[Answer]:
    """The answers to queries, asked for at once. Raises the errors of Api.recommend."""
    return [*await asyncio.gather(*map(api.recommend, queries))]
