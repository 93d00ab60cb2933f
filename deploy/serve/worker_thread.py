"""A thread of a replica that runs a worker's loop, posts its status, and checks its health.

Never decides what happens then: Serve replaces a replica whose health check fails.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from typing import Any

from streaming.clock import Clock
from streaming.errors import TidecastError
from streaming.log.watched_log import TurnCounter

LOGGER = logging.getLogger(__name__)

STATUS_PERIOD_S = 1.0
MOST_PER_CHECK_S = 5.0  # a suspended or starved process was not stuck meanwhile: its checks stopped too


class WorkerDied(TidecastError):
    """A worker's loop has ended without being told to, or makes no turn any more."""


class Stillness:
    """The time for which a count of turns has stood still, as far as its checks saw. For one thread."""

    def __init__(self, turn_counter: TurnCounter, clock: Clock) -> None:
        self._turn_counter = turn_counter
        self._clock = clock
        self._turns = turn_counter.turns
        self._checked_s = clock.monotonic_s()
        self._still_s = 0.0

    def seconds(self) -> float:
        """Seconds between the check that saw the last turn and this one."""
        now_s, turns = self._clock.monotonic_s(), self._turn_counter.turns
        if turns != self._turns:
            self._still_s = 0.0
        else:
            self._still_s += min(now_s - self._checked_s, MOST_PER_CHECK_S)
        self._turns, self._checked_s = turns, now_s
        return self._still_s


class WorkerThread:
    """A loop in a thread, from construction until `stop`."""

    def __init__(
        self,
        name: str,
        run: Callable[[threading.Event], None],
        *,
        turn_counter: TurnCounter,
        stuck_s: float,
        clock: Clock,
        status: Callable[[], dict[str, Any]] = dict,
        post: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """run: the loop, whose turns are counted. status: the loop's status. post: receives it once a second."""
        self._name = name
        self._run = run
        self._status = status
        self._stillness = Stillness(turn_counter, clock)
        self._stuck_s = stuck_s
        self._stop = threading.Event()
        self._quiet = threading.Event()
        self._cause = ""
        self._loop = threading.Thread(target=self._guarded, name=name, daemon=True)
        self._loop.start()
        if post is not None:
            threading.Thread(target=self._post_status, args=(post,), name=f"{name}-status", daemon=True).start()

    def check(self) -> None:
        """Checks the loop. Raises WorkerDied: it has ended by itself, or made no turn for `stuck_s`. For one thread."""
        if self._stop.is_set():
            return
        if not self._loop.is_alive():
            raise WorkerDied(f"{self._name} has ended: {self._cause or 'its loop returned'}")
        still_s = self._stillness.seconds()
        if still_s > self._stuck_s:
            raise WorkerDied(f"{self._name} has made no turn for {still_s:.0f} s")

    def join(self, timeout_s: float) -> None:
        """Waits for the loop to end by itself."""
        self._loop.join(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Makes the loop flush, commit and end; whether it did in time."""
        self._stop.set()
        self._loop.join(timeout_s)
        self._quiet.set()
        return not self._loop.is_alive()

    def _guarded(self) -> None:
        LOGGER.info("%s begins", self._name)
        try:
            self._run(self._stop)
            LOGGER.info("%s has ended", self._name)
        except BaseException as err:
            self._cause = f"{type(err).__name__}: {err}"
            LOGGER.exception("%s has ended", self._name)

    def _post_status(self, post: Callable[[dict[str, Any]], None]) -> None:
        while not self._quiet.wait(STATUS_PERIOD_S):
            try:
                post(self._status())
            except Exception:  # the cluster's head may be away, which the loop does not need
                LOGGER.warning("%s: status not written: %s", self._name, traceback.format_exc(limit=1))
