"""The port for operators: metrics of this node, state of every process. Never answers callers.

Every process of ours can serve it, and one per node does. When that one ends, the next takes its place: they wait for a
lock that the operating system takes back from a process that ends, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

import msgspec

from deploy.http.api import Api
from deploy.http.host_posts import readiness_of
from deploy.http.openapi import Operation
from deploy.http.route import PROMETHEUS, Request, Response, Route
from deploy.http.status import SystemStatus
from deploy.ray.haproxy import error_page

LOGGER = logging.getLogger(__name__)

LOCK = "admin.lock"
HEAD_BYTES = 8_192
HEAD_TIMEOUT_S = 5.0
MOST_CONNECTIONS = 100  # Prometheus needs one
RETRY_S = 2.0  # while another program has the port


def admin_routes(
    status: Callable[[], SystemStatus], expose: Callable[[], bytes], host: Callable[[], SystemStatus]
) -> list[Route]:
    """The routes of the admin port.

    status: of the whole system. expose: the metrics of all processes of the host. host: the posts of these alone.
    """
    encode = msgspec.json.Encoder().encode

    def whole_status(_: Request) -> Response:
        return Response(encode(status()))

    def metrics(_: Request) -> Response:
        return Response(expose(), PROMETHEUS)

    def ready(_: Request) -> Response:
        code, body = readiness_of(host())
        return Response(body, status=code.value)

    return [
        Route("GET", "/v1/status", whole_status, Operation("status", "Every process", SystemStatus), blocking=True),
        Route("GET", "/metrics", metrics, Operation("metrics", "Metrics of the node", None), blocking=True),
        Route("GET", "/readyz", ready, Operation("readiness", "Whether this host answers itself", None), blocking=True),
        Route("GET", "/healthz", lambda _: Response(b'{"status":"up"}'), Operation("health", "It is up", None)),
    ]


class AdminPort:
    """A server of an Api by HTTP/1.1, one request per connection, on the event loop that starts it."""

    def __init__(self, api: Api, host: str, port: int, folder: Path) -> None:
        """folder: for the lock, one per node and system."""
        self._api = api
        self._host = host
        self._port = port
        self._lock = folder / LOCK
        self._held: IO[str] | None = None
        self._open = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Waits for its turn in a thread, then serves for as long as the process lives. Returns at once."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._wait, args=(loop,), name="admin-turn", daemon=True).start()

    async def serve(self) -> int:
        """Listens at once; returns the port. Raises OSError."""
        self._server = await asyncio.start_server(self._connected, self._host, self._port, limit=HEAD_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stops listening, and lets the next process take over."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._held is not None:
            self._held.close()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        lock = self._lock.open("a")
        fcntl.flock(lock, fcntl.LOCK_EX)  # held until this process ends
        self._held = lock
        with contextlib.suppress(RuntimeError):  # the loop has ended: so does the process
            loop.call_soon_threadsafe(self._begin, loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self._take())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self) -> None:
        reported = False
        while True:
            try:
                await self.serve()
            except OSError as err:
                if not reported:
                    LOGGER.error(  # noqa: TRY400  the cause is in the message
                        "metrics and state are not served: port %d of %s cannot be had (%s); "
                        "http.admin_port chooses another. Trying again every %.0f s",
                        *(self._port, self._host, err.strerror, RETRY_S),
                    )
                reported = True
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            head = await _head(reader) if self._open <= MOST_CONNECTIONS else HTTPStatus.SERVICE_UNAVAILABLE
            if isinstance(head, HTTPStatus):
                writer.write(error_page(head))
            else:
                await self._answer(head, writer)
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            LOGGER.debug("a caller of the admin port does not read, or left")
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        line, *_ = head.split(b"\r\n")
        words = line.split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            writer.write(error_page(HTTPStatus.BAD_REQUEST))
            return
        path, _, query = words[1].partition(b"?")
        scope = {
            "type": "http",
            "method": words[0].decode("latin-1"),
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "headers": [],
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                status = HTTPStatus(message["status"])
                fields = [*message["headers"], (b"connection", b"close")]
                start = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
                writer.write(start + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n")
            else:
                writer.write(message["body"])

        await self._api(scope, receive, send)


async def _head(reader: asyncio.StreamReader) -> bytes | HTTPStatus:
    """The head of a request, or what is wrong with it. Raises OSError, IncompleteReadError: the caller left."""
    try:
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            return await reader.readuntil(b"\r\n\r\n")
    except TimeoutError:
        return HTTPStatus.REQUEST_TIMEOUT
    except asyncio.LimitOverrunError:
        return HTTPStatus.BAD_REQUEST
