"""What viewers were shown, on its way to the other replicas. Never makes an answer wait.

It is worth less than an answer: where the log does not keep up, it is dropped and counted.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streaming.events import ShownRooms, ViewerId
from streaming.log.codec import encode

Hashes = NDArray[np.int64]


@dataclass(slots=True)
class _Waiting:
    shown: list[Hashes] = field(default_factory=list)  # of each answer
    entered: set[int] = field(default_factory=set)
    at_ms: int = 0


class ShownQueue:
    """Rooms shown since the last batch, one record a viewer. Any thread notes, one takes."""

    def __init__(self, writer: str, most: int) -> None:
        """writer: the replica's id. most: viewers that may wait."""
        self.writer = writer
        self._most = most
        self._waiting: dict[ViewerId, _Waiting] = {}
        self._changing = threading.Lock()
        self.dropped = 0  # records not noted because too many waited, since the start

    def __len__(self) -> int:
        return len(self._waiting)

    def show(self, viewer: ViewerId, hash_L: Hashes, at_ms: int) -> None:
        """Queues rooms that were shown. Returns at once, whatever the log does."""
        with self._changing:
            waiting = self._of(viewer, at_ms)
            if waiting is not None:
                waiting.shown.append(hash_L)

    def enter(self, viewer: ViewerId, hash_V: Hashes, at_ms: int) -> None:
        """Queues rooms that the viewer has entered since they were shown; what waits of them is shown no more."""
        with self._changing:
            waiting = self._of(viewer, at_ms)
            if waiting is not None:
                waiting.entered.update(hash_V.tolist())
                waiting.shown = [hash_L[~np.isin(hash_L, hash_V)] for hash_L in waiting.shown]

    def take(self, most: int) -> list[tuple[bytes, bytes]]:
        """Takes at most `most` records, the oldest first: key and value of each."""
        with self._changing:
            taken = [(viewer, self._waiting.pop(viewer)) for viewer in list(self._waiting)[:most]]
        return [(viewer.encode(), self._serialised(waiting)) for viewer, waiting in taken]

    def forget(self, viewer: ViewerId) -> None:
        """Drops what waits of a viewer."""
        with self._changing:
            self._waiting.pop(viewer, None)

    def _of(self, viewer: ViewerId, at_ms: int) -> _Waiting | None:
        waiting = self._waiting.get(viewer)
        if waiting is None:
            if len(self._waiting) >= self._most:
                self.dropped += 1
                return None
            waiting = self._waiting[viewer] = _Waiting()
        waiting.at_ms = max(waiting.at_ms, at_ms)
        return waiting

    def _serialised(self, waiting: _Waiting) -> bytes:
        rooms = b"".join([hash_L.astype("<i8").tobytes() for hash_L in waiting.shown])
        entered = np.array(sorted(waiting.entered), "<i8").tobytes()
        return encode(ShownRooms(writer=self.writer, rooms=rooms, entered=entered, at_ms=waiting.at_ms))
