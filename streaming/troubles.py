"""Problems with partitions of the log, and their report to log and metrics. Never reads a log, never mends anything."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

# codec: a batch that this build cannot unpack; damaged: a batch whose bytes are not those that were written;
# version: a state that another build has written, too far from this one to be read;
# held: a producer's open transaction hides later records from all readers;
# grown: topics that belong together have different numbers of partitions.
Kind = Literal["codec", "damaged", "version", "held", "grown"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem with a partition. message: what it is and how to go on, for a person.

    offset: of the first record that is not read because of it, -1 if it concerns no record. reader: who met it
    (`room-workers`, `replica`, `archiver`), "" until its source has passed it on.
    """

    topic: str
    partition: int
    offset: int
    kind: Kind
    message: str
    reader: str = ""

    @property
    def unreadable(self) -> bool:
        """Whether a record cannot be read, and is not only late."""
        return self.kind in ("codec", "damaged", "version")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Offsets from `first` to `last` that a source has skipped for good, and why.

    cause: `deleted` where the log has deleted them (retention, DeleteRecords) before they were read.
    """

    topic: str
    partition: int
    first: int
    last: int
    why: str
    cause: Literal["damaged", "deleted"] = "damaged"

    def behind(self, read: int) -> Skipped | None:
        """The part that had not been read before; None if there is none. read: offsets below it had been read."""
        return None if self.last < read else replace(self, first=max(self.first, read))


class Troubles:
    """Current troubles of one reader's partitions. Each is logged once, and again when it is over.

    One thread updates, any reads `now`. It outlives its reader's sessions, so that an outage does not repeat logs.
    """

    def __init__(self, reader: str, metrics: Metrics) -> None:
        self._reader = reader
        self._metrics = metrics
        self._counted: set[tuple[str, str]] = set()
        self._lost: dict[tuple[str, int], Skipped] = {}  # the last one of each partition
        self.now: tuple[Trouble, ...] = ()
        self.lost_text = ""  # for a status: the offsets skipped last in each partition since the start

    def update(self, found: Iterable[Trouble]) -> None:
        """Replaces the current troubles; logs and measures the changes."""
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
        """Logs and counts skipped offsets."""
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
        self._counted |= counts.keys()  # troubles that are over read 0
        for topic, kind in self._counted:
            value = counts[topic, kind]
            self._metrics.gauge("log_partition_troubles", value, reader=self._reader, topic=topic, kind=kind)


def _place(trouble: Trouble) -> tuple[str, int, int, str]:
    return trouble.topic, trouble.partition, trouble.offset, trouble.kind
