"""What Serve's HTTP servers do beside serving: a slower tick, and word of their end. Never serves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from uvicorn import Server

TICK_S = 0.5  # a replica that should end closes its port at most so much later


async def main_loop(self: Server) -> None:
    """Replaces uvicorn's main loop, which has no setting for its tick."""
    while not await self.on_tick(0):  # a tick number at which the date header is renewed
        await asyncio.sleep(TICK_S)


def tick_less() -> None:
    """Installs the slower tick. Serve calls it for middlewares, before each HTTP server starts; it adds none."""
    Server.main_loop = main_loop  # type: ignore[method-assign]


def before_end(call: Callable[[], None]) -> None:
    """Has `call` called once the HTTP server of this process is to end, before it waits for what it is answering.

    Serve waits for every request before it lets a replica end, and tells nobody. An answer without end has to know.
    """
    shut_down = Server.shutdown

    async def told(self: Server, sockets: list[socket.socket] | None = None) -> None:
        call()
        await shut_down(self, sockets)

    Server.shutdown = told  # type: ignore[method-assign]
