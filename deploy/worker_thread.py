"""Runs a worker's loop in a thread of a replica, writes its status, and says when it is no longer well.

Never decides what happens then: Serve replaces a replica whose health check fails.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from typing import Any

from streaming.errors import TidecastError

LOGGER = logging.getLogger(__name__)

STATUS_PERIOD_S = 1.0


class WorkerDied(TidecastError):
    """A worker's loop has ended although nobody told it to."""


class WorkerThread:
    """One loop, from construction until `stop`."""

    def __init__(
        self,
        name: str,
        run: Callable[[threading.Event], None],
        status: Callable[[], dict[str, Any]],
        post: Callable[[dict[str, Any]], None],
    ) -> None:
        """run: the loop; status: what it says of itself; post: where that is left, once a second."""
        self._name = name
        self._run = run
        self._status = status
        self._post = post
        self._stop = threading.Event()
        self._quiet = threading.Event()
        self._cause = ""
        self._loop = threading.Thread(target=self._guarded, name=name, daemon=True)
        self._poster = threading.Thread(target=self._post_status, name=f"{name}-status", daemon=True)
        self._loop.start()
        self._poster.start()

    def check(self) -> None:
        """Raises WorkerDied where the loop has ended by itself."""
        if not self._loop.is_alive() and not self._stop.is_set():
            raise WorkerDied(f"{self._name} has ended: {self._cause or 'its loop returned'}")

    def join(self, timeout_s: float) -> None:
        """Waits for the loop to end by itself."""
        self._loop.join(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Tells the loop to flush, commit and end. Whether it did in time."""
        self._stop.set()
        self._loop.join(timeout_s)
        self._quiet.set()
        return not self._loop.is_alive()

    def _guarded(self) -> None:
        try:
            self._run(self._stop)
        except BaseException as err:
            self._cause = f"{type(err).__name__}: {err}"
            LOGGER.exception("%s has ended", self._name)

    def _post_status(self) -> None:
        while not self._quiet.wait(STATUS_PERIOD_S):
            try:
                self._post(self._status())
            except Exception:  # the cluster's head may be away; the loop does not need it
                LOGGER.warning("%s: status not written: %s", self._name, traceback.format_exc(limit=1))
