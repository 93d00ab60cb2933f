"""The console's server: its socket, its pages, its end. Never draws a page."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import partial

import uvicorn
from fastapi import FastAPI, Request
from nicegui import app, ui

from deploy.config.console_settings import ConsoleConfig
from deploy.config.http_settings import is_loopback
from deploy.console.guard import LOOPBACK, Guard
from deploy.console.pages.shared import Shared
from deploy.console.pages.tab import Tab
from deploy.console.theme import FAVICON, STYLE
from streaming.errors import TidecastError
from streaming.machine.ports import free_port

RECONNECT_S = 10.0  # for which a tab that lost its connection keeps its state
CLOSE_S = 1  # for open pages to be told that the server ends
BACKLOG = 128


class CannotListen(TidecastError):
    """The console's address cannot be had."""


def open_socket(config: ConsoleConfig, *, exactly: bool) -> socket.socket:
    """A socket that listens on the configured port, or on a free one where that is taken.

    exactly: raises CannotListen instead, as it does where the host is none of this machine's.
    """
    try:
        return _bound(config.host, config.port)
    except OSError as err:
        where = f"{config.host} port {config.port}"
        if exactly or config.port == 0:
            raise CannotListen(f"{where} cannot be had ({err.strerror}); choose another with --port") from err
        try:
            return _bound(config.host, free_port(config.host))
        except OSError as other:
            said = f"{where} cannot be had ({other.strerror}); set console.host to an address of this machine"
            raise CannotListen(said) from other


def url_of(listening: socket.socket) -> str:
    """The address of the pages, for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def serve(listening: socket.socket, config: ConsoleConfig, shared: Shared, started: Callable[[], None]) -> None:
    """Serves the pages until SIGINT or SIGTERM. started: called once they can be opened. Raises KeyboardInterrupt."""
    pages = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    build(shared, started)
    ui.run_with(
        pages,
        title="Tidecast console",
        favicon=FAVICON,
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,  # nothing here is bound: it would look ten times a second
        reconnect_timeout=RECONNECT_S,
        message_history_length=30,
        show_welcome_message=False,
    )
    hosts = LOOPBACK | {config.host} if is_loopback(config.host) else None
    pages.add_middleware(partial(Guard, hosts=hosts))
    server = uvicorn.Server(
        uvicorn.Config(
            pages,
            log_level="warning",
            access_log=False,
            ws="wsproto",
            backlog=BACKLOG,
            timeout_graceful_shutdown=CLOSE_S,
        )
    )
    server.run(sockets=[listening])


def build(shared: Shared, started: Callable[[], None]) -> None:
    """Declares the pages, and the poller that runs beside them."""
    polling: list[asyncio.Task[None]] = []

    def page(request: Request) -> None:
        Tab(shared, request)

    for path in ("/", "/{_:path}"):
        ui.page(path)(page)
    ui.add_css(STYLE, shared=True)

    def start() -> None:
        polling.append(asyncio.get_running_loop().create_task(shared.poller.run()))
        started()

    async def stop() -> None:
        for task in polling:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await shared.api.close()

    app.on_startup(start)
    app.on_shutdown(stop)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made
