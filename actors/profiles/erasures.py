"""Writes viewers' erasures to the log. Never forgets anybody itself: the ProfileWorker and every reader do."""

from __future__ import annotations

import contextlib
import threading

from streaming.clock import Clock
from streaming.errors import LogUnavailable, TopicMissing
from streaming.events import ViewerErased, ViewerId
from streaming.log.codec import encode
from streaming.log.log import Log, Sink
from streaming.log.topics import VIEWER_EVENTS

WAIT_S = 5.0  # for the one before: while Kafka is away each takes half a minute, and callers should not queue up


class ErasureWriter:
    """Writes erasures one at a time, each acknowledged before it returns. Any thread may call it."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._turn = threading.Lock()
        self._sink: Sink | None = None

    def erase(self, viewer: ViewerId) -> int:
        """Writes that a viewer is to be forgotten; returns the event time once the log has it. Blocks.

        To do it twice does no harm. Raises LogUnavailable: it may have been written all the same.
        """
        if not self._turn.acquire(timeout=WAIT_S):
            raise LogUnavailable("another erasure is waiting for Kafka")
        try:
            record = ViewerErased(viewer=viewer, at_ms=self._clock.now_ms())
            if self._sink is None:
                self._sink = self._log.sink()
            self._sink.send(VIEWER_EVENTS, viewer.encode(), encode(record))
            self._sink.flush()
        except (LogUnavailable, TopicMissing) as err:
            self._close()
            raise LogUnavailable(f"the erasure could not be written: {err}") from err
        finally:
            self._turn.release()
        return record.at_ms

    def _close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with contextlib.suppress(Exception):  # it has failed already
                sink.close()
