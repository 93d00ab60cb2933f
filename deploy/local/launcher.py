"""The launcher of the Ray driver for `System`: starts it, gives it its order, waits for its end. Never imports Ray."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping

from deploy.local.ray_driver import Order
from deploy.ray.local_ray import ClusterError
from streaming.patience import Patience

GO = b"go\n"
ASK_EVERY_S = 0.2


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

    def finish(self, timeout_s: float) -> None:
        """Lets the driver go on and waits for its end. Raises ClusterError: it fails, or takes longer.

        timeout_s: on a free machine; it grows with how busy this one is.
        """
        self._write(GO)
        patience = Patience(timeout_s)
        try:
            while (code := self._process.poll()) is None:
                if patience.is_over():
                    raise ClusterError(f"Ray could not {self._action} the application within {patience.spent()}")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(ASK_EVERY_S)
            if code:
                self._said.seek(0)
                said = self._said.read()[-2000:].decode(errors="replace").strip()
                raise ClusterError(f"Ray could not {self._action} the application: {said}")
        finally:
            self.kill()

    def kill(self) -> None:
        """Kills the driver. No effect where it has ended."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._said.close()

    def _write(self, message: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(message)
        except BrokenPipeError:
            return  # it has ended: `finish` reports how
