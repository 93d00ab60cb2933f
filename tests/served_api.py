"""An ASGI application in the server that Serve has, on a free port of loopback. No test is here."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn

from streaming.machine.ports import free_port

PATIENCE_S = 30.0


def server_of(application: Any, port: int) -> uvicorn.Server:
    """A server that is not started yet."""
    config = uvicorn.Config(application, port=port, log_level="critical", lifespan="off", loop="asyncio", ws="none")
    return uvicorn.Server(config)


@contextlib.contextmanager
def served(application: Any) -> Iterator[int]:
    """Serves the application in a thread; gives the port."""
    port = free_port()
    server = server_of(application, port)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while not server.started:
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.02)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
