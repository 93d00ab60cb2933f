"""Owns what a worker keeps beside a committed position. Never commits and never asks the log.

It is stored in the transaction of what it tells of, so it is true after any crash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TEXT = re.compile(r"read=(\d+) partitions=(\d+) states=([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class PositionNote:
    """What was so when a position was committed.

    read: offsets below it were read, and what was set aside of them is written. A position may lie far before it: what
    it holds back for is read again after a restart. partitions: among how many keys were divided, 0 where not known.
    states: which making of the compacted topic the state was published to, 0 where not known.
    """

    read: int = 0
    partitions: int = 0
    states: int = 0

    @property
    def text(self) -> str:
        return f"read={self.read} partitions={self.partitions} states={self.states:x}"

    @classmethod
    def parse(cls, text: str) -> PositionNote:
        """Of a text; what another build wrote, or nobody, tells nothing."""
        found = _TEXT.match(text)
        return cls(int(found[1]), int(found[2]), int(found[3], 16)) if found else cls()


@dataclass
class Once:
    """Which records of a partition are set aside (refused, sent elsewhere), each once however often it is read.

    read: by topic, `PositionNote.read`. pending: topics with such records whose position is not committed since.
    """

    read: Mapping[str, int]
    pending: set[str] = field(default_factory=set)

    def is_first(self, topic: str, offset: int) -> bool:
        """Whether nobody has set this record aside; from now on somebody has."""
        if offset < self.read.get(topic, 0):
            return False
        self.pending.add(topic)
        return True
