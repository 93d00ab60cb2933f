"""The console's end of what a demo lets it do. A console that no demo has started has none. Never kills by itself."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from deploy.console.api import Api
from deploy.http.status import Post
from streaming.clock import Clock
from streaming.errors import TidecastError

LINE_BYTES = 4_096
LOOK_EVERY_S = 0.25
GIVE_UP_S = 120.0
GONE = "the demo does not answer any more"
LATE = f"no other process has taken its place after {GIVE_UP_S:.0f} s; `tidecast logs` shows why"


class Control:
    """Asks the demo, over a socket that it was started with. For the event loop alone."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._turn = asyncio.Lock()

    async def kill(self, pid: int) -> str:
        """Has a process of the demo killed. Returns why it was not, "" where it was."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            try:
                await loop.sock_sendall(self._end, json.dumps({"kill": pid}).encode() + b"\n")
                answer = b""
                while not answer.endswith(b"\n"):
                    part = await loop.sock_recv(self._end, LINE_BYTES)
                    if not part:
                        return GONE
                    answer += part
            except OSError:
                return GONE
        return str(json.loads(answer)["refused"])


@dataclass(frozen=True, slots=True)
class Recovery:
    """How far a process's successor is. Times in ms since the kill; None: not yet."""

    post: Post  # of the one that was killed
    killed: bool = False
    pid: int | None = None  # of the successor
    came_ms: float | None = None  # it posted first
    works_ms: float | None = None  # it says that it is ready
    failure: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return bool(self.failure) or self.works_ms is not None


async def follow(api: Api, control: Control, clock: Clock, post: Post) -> AsyncIterator[Recovery]:
    """Kills a process and follows who takes its place; yields each step, the last one `ended`. Raises nothing."""
    recovery, began_s = Recovery(post), clock.monotonic_s()
    refused = await control.kill(post.pid)
    if refused:
        yield replace(recovery, failure=refused)
        return
    recovery = replace(recovery, killed=True)
    yield recovery
    while True:
        passed_ms = (clock.monotonic_s() - began_s) * 1000
        successor = await _successor(api, post)
        if successor is not None and recovery.came_ms is None:
            recovery = replace(recovery, pid=successor.pid, came_ms=passed_ms)
            yield recovery
        if successor is not None and successor.detail.get("ready", True):
            yield replace(recovery, works_ms=passed_ms)
            return
        if passed_ms > GIVE_UP_S * 1000:
            yield replace(recovery, failure=LATE)
            return
        await asyncio.sleep(LOOK_EVERY_S)


async def _successor(api: Api, post: Post) -> Post | None:
    """The process that has the killed one's place; None while there is none, or nobody says."""
    try:
        processes = (await api.status()).processes
    except TidecastError:  # the admin port may have been that process's
        return None
    return next(
        (one for one in processes if (one.name, one.rank) == (post.name, post.rank) and one.pid != post.pid), None
    )
