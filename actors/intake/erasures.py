"""Writes viewers' erasures to the log. Never forgets anybody itself: the ProfileWorker and every reader do."""

from __future__ import annotations

from actors.intake.write_turns import WriteTurns
from streaming.clock import Clock
from streaming.events import ViewerErased, ViewerId
from streaming.log.codec import encode
from streaming.log.log import Log
from streaming.log.topics import VIEWER_EVENTS


class ErasureWriter:
    """Writes erasures one at a time, each acknowledged before it returns. Any thread may call it."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._clock = clock
        self._turns = WriteTurns(log, "erasure")

    def erase(self, viewer: ViewerId) -> int:
        """Writes that a viewer is to be forgotten; returns the event time once the log has it. Blocks.

        To do it twice does no harm. Raises LogUnavailable: it may have been written all the same.
        """
        with self._turns.turn() as sink:
            record = ViewerErased(viewer=viewer, at_ms=self._clock.now_ms())
            sink.send(VIEWER_EVENTS, viewer.encode(), encode(record))
        return record.at_ms
