"""Owns what can be wrong with a partition of the log, and who says it. Never reads a log, never mends anything."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

# codec: a batch that this build cannot unpack; damaged: a batch whose bytes are not those that were written;
# held: a producer's open transaction keeps what was written from everybody who reads;
# grown: topics that belong together have different numbers of partitions.
Kind = Literal["codec", "damaged", "held", "grown"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A partition that has a problem, and where. message: what it is and how to go on, for a person.

    offset: of the first record that is not read because of it, -1 where it is about no record. reader: who met it
    (`room-workers`, `replica`, `archiver`), "" as long as only its source knows.
    """

    topic: str
    partition: int
    offset: int
    kind: Kind
    message: str
    reader: str = ""

    @property
    def unreadable(self) -> bool:
        """Whether there is something that cannot be read, and not only something that is not there yet."""
        return self.kind in ("codec", "damaged")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Offsets from `first` to `last` that a source has passed over, and why: nothing of them will be read.

    cause: `deleted` where the log has let go of them (retention, DeleteRecords) before they were read.
    """

    topic: str
    partition: int
    first: int
    last: int
    why: str
    cause: Literal["damaged", "deleted"] = "damaged"

    def behind(self, read: int) -> Skipped | None:
        """What of it had not been read before; None where nothing had not. read: offsets below it were."""
        return None if self.last < read else replace(self, first=max(self.first, read))


class Troubles:
    """What is wrong now with the partitions of one reader: each said once in the log, and again when it is over.

    One thread updates, any reads `now`. It outlives the sessions of its reader, so that an outage repeats nothing.
    """

    def __init__(self, reader: str, metrics: Metrics) -> None:
        self._reader = reader
        self._metrics = metrics
        self._counted: set[tuple[str, str]] = set()
        self._lost: dict[tuple[str, int], Skipped] = {}  # of each partition the last
        self.now: tuple[Trouble, ...] = ()
        self.lost_text = ""  # for a status: what was passed over last of each partition since the start

    def update(self, found: Iterable[Trouble]) -> None:
        """Takes what is wrong now in place of what was."""
        before, now = {_place(t): t for t in self.now}, {_place(t): replace(t, reader=self._reader) for t in found}
        for place, trouble in now.items():
            if place not in before:
                LOGGER.error("%s: %s partition %d: %s", self._reader, *place[:2], trouble.message)
        for place, trouble in before.items():
            if place not in now:
                LOGGER.warning("%s: %s partition %d: no longer %s", self._reader, *place[:2], trouble.kind)
        self.now = tuple(now[place] for place in sorted(now))
        self._measure()

    def passed_over(self, skipped: Iterable[Skipped]) -> None:
        """Says and counts what was skipped."""
        for one in skipped:
            LOGGER.warning(
                "%s: %s partition %d: offsets %d to %d are passed over: %s",
                *(self._reader, one.topic, one.partition, one.first, one.last, one.why),
            )
            count, labels = one.last - one.first + 1, {"reader": self._reader, "topic": one.topic}
            self._metrics.count("log_offsets_skipped_total", count, reason=one.cause, **labels)
            self._lost[one.topic, one.partition] = one
            self.lost_text = ", ".join(
                f"{topic}-{partition} offsets {last.first} to {last.last} ({last.cause})"
                for (topic, partition), last in sorted(self._lost.items())
            )

    def _measure(self) -> None:
        counts = Counter((trouble.topic, str(trouble.kind)) for trouble in self.now)
        self._counted |= counts.keys()  # what is over reads 0
        for topic, kind in self._counted:
            value = counts[topic, kind]
            self._metrics.gauge("log_partition_troubles", value, reader=self._reader, topic=topic, kind=kind)


def _place(trouble: Trouble) -> tuple[str, int, int, str]:
    return trouble.topic, trouble.partition, trouble.offset, trouble.kind
