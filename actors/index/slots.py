"""The slots in use. A slot is a row of every index and every column. Never knows whose it is."""

from __future__ import annotations

import heapq


class Slots:
    """Numbers below `most`, each given to one user at a time. Not thread-safe."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.high = 0  # slots in [0, high) have been allocated at least once
        self._free: list[int] = []  # a heap: the lowest slot first keeps the scanned range short

    def __len__(self) -> int:
        """Number of slots in use."""
        return self.high - len(self._free)

    def allocate(self) -> int | None:
        """Allocates the lowest free slot; None where all are in use."""
        if self._free:
            return heapq.heappop(self._free)
        if self.high == self.most:
            return None
        self.high += 1
        return self.high - 1

    def release(self, slot: int) -> None:
        """Frees an allocated slot; the caller has cleared its rows before."""
        heapq.heappush(self._free, slot)
