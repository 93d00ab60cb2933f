"""Has the HTTP servers of Serve look twice a second whether they are to end, not ten times. Never serves."""

from __future__ import annotations

import asyncio

from uvicorn import Server

TICK_S = 0.5  # a replica that is told to end closes its port so much later at most


async def main_loop(self: Server) -> None:
    """As uvicorn's own, which has no setting for it."""
    while not await self.on_tick(0):  # the number of a tick at which the date that answers carry is set
        await asyncio.sleep(TICK_S)


def tick_less() -> None:
    """Called by Serve in each process before it starts an HTTP server there, for middlewares: it adds none."""
    Server.main_loop = main_loop  # type: ignore[method-assign]
