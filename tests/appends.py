"""A watch on room-states: when each of its partitions got a record. Never writes."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from streaming.broker import KafkaLog
from streaming.log.topics import ROOM_STATES


class Appends(threading.Thread):
    """Notes when records of room-states became readable, by partition."""

    def __init__(self, log: KafkaLog) -> None:
        super().__init__(name="appends", daemon=True)
        self._log = log
        self._halt = threading.Event()
        self.at_s: dict[int, list[float]] = {partition.index: [] for partition in log.partitions(ROOM_STATES)}

    def run(self) -> None:
        source = self._log.reader(self._log.partitions(ROOM_STATES), "end")
        while not self._halt.is_set():
            for partition in source.poll(0.05).records:
                self.at_s[partition.index].append(time.monotonic())
        source.close()

    def stop(self) -> None:
        """Stops watching."""
        self._halt.set()
        self.join()

    def longest_s(self, since_s: float, until_s: float) -> float:
        """The longest time without a record of some partition."""
        gaps: list[float] = []
        for times in self.at_s.values():
            inside = [since_s, *(at for at in times if since_s <= at <= until_s), until_s]
            gaps += [later - earlier for earlier, later in pairwise(inside)]
        return max(gaps)
