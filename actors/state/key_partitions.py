"""The partition that a replica's last record of each key came from. Never holds a value, never reads a log."""

from __future__ import annotations

from streaming.log.log import Record


class KeyPartitions:
    """The partition and append time of each key's last record.

    After topics grew, a key may lie in two partitions for a while. The later append time wins, and a tombstone removes
    only a value that came from its own partition.
    """

    def __init__(self) -> None:
        self._at: dict[str, tuple[int, int]] = {}  # partition and append time
        self.is_as_before = True  # whether the last key put lay in that partition before, or nowhere
        self._watched = True

    @property
    def watched(self) -> bool:
        return self._watched

    @watched.setter
    def watched(self, watched: bool) -> None:
        """Switches the watch. Off: every record counts, and nothing is remembered."""
        self._watched = watched
        if not watched:
            self._at.clear()

    def put(self, key: str, record: Record) -> bool:
        """Notes a value; False where another partition has a later one."""
        if not self._watched:
            return True
        held = self._at.get(key)
        self.is_as_before = held is None or held[0] == record.partition
        if held is not None and held[0] != record.partition and 0 < record.timestamp < held[1]:
            return False
        self._at[key] = record.partition, record.timestamp
        return True

    def remove(self, key: str, record: Record) -> bool:
        """Notes a tombstone; False where the value is in another partition."""
        held = self._at.get(key)
        if held is not None and held[0] != record.partition:
            return False
        self._at.pop(key, None)
        return True

    def lying_in(self, partition: int) -> list[str]:
        """The keys whose last record is in a partition."""
        return [key for key, (at, _) in self._at.items() if at == partition]

    def forget(self, key: str) -> None:
        """Forgets a key."""
        self._at.pop(key, None)

    def clear(self) -> None:
        """Forgets all."""
        self._at.clear()
