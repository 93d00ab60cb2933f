"""Writes of callers who wait for each, one at a time. Never knows what is written, and never tries again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from streaming.errors import LogUnavailable, TopicMissing
from streaming.log.log import Log, Sink

WAIT_S = 5.0  # for the one before: while Kafka is away each takes half a minute, and callers should not queue up


class WriteTurns:
    """Gives one caller after the other the sink. Any thread may ask for a turn."""

    def __init__(self, log: Log, what: str) -> None:
        """what: is written, as errors name it."""
        self._log = log
        self._what = what
        self._turn = threading.Lock()
        self._sink: Sink | None = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[Sink]:
        """A sink; what is sent is acknowledged when the turn ends. Blocks.

        Raises LogUnavailable: it may have been written all the same.
        """
        if not self._turn.acquire(timeout=WAIT_S):
            raise LogUnavailable(f"another {self._what} is waiting for Kafka")
        try:
            if self._sink is None:
                self._sink = self._log.sink()
            yield self._sink
            self._sink.flush()
        except (LogUnavailable, TopicMissing) as err:
            self._close()
            raise LogUnavailable(f"the {self._what} could not be written: {err}") from err
        finally:
            self._turn.release()

    def _close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with contextlib.suppress(Exception):  # it has failed already
                sink.close()
