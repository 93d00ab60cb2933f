"""The partitions that a worker owns and cannot work on, since their state is unreadable. Never applies a record.

The others go on. Records of such a partition are dropped, and none of its positions is stored. Once its state can be
read, the worker begins a new session, where everything comes again.
"""

from __future__ import annotations

from collections.abc import Sequence

from streaming.clock import Clock
from streaming.errors import LogUnavailable, Unreadable
from streaming.log.log import Log, Partition
from streaming.log.restore import states_of
from streaming.troubles import Trouble

FIRST_RETRY_MS = 1_000  # most are held by the open transaction of a process that is gone, which ends in seconds
MAX_RETRY_MS = 60_000  # each try reads the partition up to the damage again


class Unrestored:
    """Indices of unreadable partitions, each with its trouble and the time of the next try. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._troubles: dict[int, Trouble] = {}
        self._pause_ms: dict[int, int] = {}
        self._due_ms: dict[int, int] = {}

    def __contains__(self, index: int) -> bool:
        return index in self._troubles

    @property
    def troubles(self) -> Sequence[Trouble]:
        """The trouble of each partition."""
        return list(self._troubles.values())

    def add(self, index: int, trouble: Trouble) -> None:
        """Adds a partition whose state cannot be read, for the first time or again."""
        self._troubles[index] = trouble
        pause_ms = self._pause_ms[index] = min(MAX_RETRY_MS, 2 * self._pause_ms.get(index, FIRST_RETRY_MS // 2))
        self._due_ms[index] = self._clock.now_ms() + pause_ms

    def drop(self, index: int) -> None:
        """Drops a partition that another worker owns now."""
        self._troubles.pop(index, None)
        self._pause_ms.pop(index, None)
        self._due_ms.pop(index, None)

    def retry(self, log: Log, topic: str) -> None:
        """Tries partitions that are due. Raises LogUnavailable where one can be read, so that its records come again.

        topic: from which their state is read back.
        """
        now_ms = self._clock.now_ms()
        for index in [index for index, at_ms in self._due_ms.items() if at_ms <= now_ms]:
            try:
                states_of(log, Partition(topic, index), lambda _: False)  # only whether it can be read
            except Unreadable as err:
                self.add(index, err.trouble)
            else:
                raise LogUnavailable(f"{topic} partition {index} can be read again; begins where it was left")
