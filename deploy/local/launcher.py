"""The launcher of the Ray driver for `System`: starts it, gives it its order, waits for its end. Never imports Ray."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping

from deploy.local.ray_driver import DONE, PROGRESS, Order
from deploy.ray.haproxy_home import ClusterError
from streaming.patience import Patience

log = logging.getLogger(__name__)

GO = b"go\n"
ASK_EVERY_S = 0.2
TAIL = 4_000  # bytes of what the driver has said last
MOST_SAID = 2_000  # characters of it in an error


class Launcher:
    """A driver process for one order. Started early, it imports Ray while Kafka and Ray start. For one thread."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """environment: Ray's settings, which it reads at its import."""
        self._action = ""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long; a pipe that nobody reads could fill up
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local.ray_driver"],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            bufsize=0,  # a failed write must not be tried again when the pipe is closed
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C in a terminal reaches us only
        )

    def give(self, order: Order) -> None:
        """Sends the order. The driver connects, and to deploy starts Serve, then waits for `finish`."""
        self._action = order.action
        self._write(pickle.dumps(order))

    def finish(self, timeout_s: float, progress: Callable[[str], None] = lambda _: None) -> None:
        """Lets the driver go on and waits for its end. Raises ClusterError: it fails, or stands still for longer.

        A driver that has carried out its order and then dies, in the end of Ray's own threads, has not failed.
        timeout_s: without progress, on a free machine; it grows with how busy this one is. progress: receives each
        step of the driver in words.
        """
        self._write(GO)
        patience, reported = Patience(timeout_s), ""
        try:
            while (code := self._process.poll()) is None:
                if (step := self._last_step()) != reported:
                    progress(step)
                    patience, reported = Patience(timeout_s), step
                if patience.is_over():
                    raise ClusterError(
                        f"Ray could not {self._action} the application: nothing new for {patience.spent()}"
                        + (reported and f"; so far {reported}")
                    )
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(ASK_EVERY_S)
            if code and DONE in self._last_lines():
                log.warning(
                    "the driver that was to %s the application did, and then ended by %s", self._action, _end(code)
                )
            elif code:
                said = "\n".join(self._last_lines()).strip()[-MOST_SAID:]
                raise ClusterError(f"Ray could not {self._action} the application ({_end(code)}): {said}")
        finally:
            self.kill()

    def kill(self) -> None:
        """Kills the driver. No effect where it has ended."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._said.close()

    def _last_step(self) -> str:
        """The progress that the driver has reported last; "" before the first."""
        steps = [line.removeprefix(PROGRESS) for line in self._last_lines() if line.startswith(PROGRESS)]
        return steps[-1] if steps else ""

    def _last_lines(self) -> list[str]:
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), TAIL, max(0, size - TAIL)).decode(errors="replace").splitlines()

    def _write(self, message: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(message)
        except BrokenPipeError:
            return  # it has ended: `finish` reports how


def _end(code: int) -> str:
    """How a process with this exit code ended, in words."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
