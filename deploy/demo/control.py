"""What the demo's own console may have it do: kill a process of the demo. Never reached by anybody else.

The two ends are a pair of sockets without a name or a port: only the process that inherits one end can ask.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping

from deploy.http.status import SystemStatus
from streaming.errors import TidecastError

LINE_BYTES = 4_096


class DemoControl:
    """The demo's end, which answers in a thread of its own, one request at a time, until it is closed."""

    def __init__(self, status: Callable[[], SystemStatus], killed: Callable[[int], None]) -> None:
        """status: of the demo's system; only what posts there is killed. killed: told each pid before it dies."""
        self._status = status
        self._killed = killed
        self._ours, self.theirs = socket.socketpair()
        threading.Thread(target=self._serve, name="demo-control", daemon=True).start()

    def close(self) -> None:
        """Answers nobody any more."""
        for end in (self._ours, self.theirs):
            end.close()

    def _serve(self) -> None:
        try:
            with self._ours.makefile("rwb") as stream:
                while line := stream.readline(LINE_BYTES):
                    stream.write(json.dumps({"refused": self._obey(line)}).encode() + b"\n")
                    stream.flush()
        except (OSError, ValueError):  # closed, here or there
            return

    def _obey(self, line: bytes) -> str:
        """Does what a line asks; returns why not, "" where it was done."""
        try:
            asked = json.loads(line)
        except ValueError:
            return "not a request"
        pid = asked.get("kill") if isinstance(asked, Mapping) else None
        if not isinstance(pid, int):
            return "not a request"
        try:
            posted = {post.pid for post in self._status().processes}
        except TidecastError as err:
            return str(err)
        if pid not in posted:
            return f"pid {pid} is no process of this demo any more"
        self._killed(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return f"pid {pid} has ended"
        return ""
