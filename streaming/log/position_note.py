"""Notes that a worker stores with committed positions. Never commits and never asks the log.

A note is stored in the same transaction as the work that it describes, so it is true after any crash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TEXT = re.compile(r"read=(\d+) partitions=(\d+) states=([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class PositionNote:
    """A worker's circumstances when a position was committed.

    read: offsets below it were read, and those of them that were set aside are written. The position may lie far
    before it: records between are read again after a restart. partitions: their number when keys were divided, 0 if
    not known. states: the making of the compacted topic to which the state was published, 0 if not known.
    """

    read: int = 0
    partitions: int = 0
    states: int = 0

    @property
    def text(self) -> str:
        return f"read={self.read} partitions={self.partitions} states={self.states:x}"

    @classmethod
    def parse(cls, text: str) -> PositionNote:
        """Parses a text. An empty one, or another build's, gives a note without information."""
        found = _TEXT.match(text)
        return cls(int(found[1]), int(found[2]), int(found[3], 16)) if found else cls()


@dataclass
class Once:
    """Ensures that a record is set aside (refused, forwarded) once only, however often it is read.

    read: by topic, `PositionNote.read`. pending: topics with such records, until their position is committed.
    """

    read: Mapping[str, int]
    pending: set[str] = field(default_factory=set)

    def is_first(self, topic: str, offset: int) -> bool:
        """Whether this record is set aside for the first time; notes that it is."""
        if offset < self.read.get(topic, 0):
            return False
        self.pending.add(topic)
        return True
