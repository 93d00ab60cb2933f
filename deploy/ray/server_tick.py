"""A slower tick for the HTTP servers of Serve: they check twice a second for their end, not ten times. Never serves."""

from __future__ import annotations

import asyncio

from uvicorn import Server

TICK_S = 0.5  # a replica that should end closes its port at most so much later


async def main_loop(self: Server) -> None:
    """Replaces uvicorn's main loop, which has no setting for its tick."""
    while not await self.on_tick(0):  # a tick number at which the date header is renewed
        await asyncio.sleep(TICK_S)


def tick_less() -> None:
    """Installs the slower tick. Serve calls it for middlewares, before each HTTP server starts; it adds none."""
    Server.main_loop = main_loop  # type: ignore[method-assign]
