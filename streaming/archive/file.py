"""Names of the archive's files, and the choice of those that a reader needs. Never opens one.

A file holds consecutive records of one partition whose timestamps lie in one hour:

    topic=chat/hour=2025-03-04T12/chat-3-0000000000000001000-0000000000000001999.parquet
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from streaming.log.log import Partition
from streaming.log.topics import HOUR_MS

MAX_HOUR = 4_102_444_800_000 // HOUR_MS  # the year 2100: later times, of broken clocks, are put into its last hour
OFFSET_DIGITS = 19  # of the largest offset, so that names sort as their offsets do
HOUR_FORMAT = "%Y-%m-%dT%H"
_PATH = re.compile(
    r"topic=(?P<topic>[A-Za-z0-9._-]+)/hour=(?P<hour>\d{4}-\d\d-\d\dT\d\d)/"
    rf"(?P=topic)-(?P<partition>\d+)-(?P<first>\d{{{OFFSET_DIGITS}}})-(?P<last>\d{{{OFFSET_DIGITS}}})\.parquet"
)


def hour_of(timestamp_ms: int) -> int:
    """The hour of a timestamp, counted from 1970."""
    return min(max(timestamp_ms, 0) // HOUR_MS, MAX_HOUR)


def hour_name(hour: int) -> str:
    """The hour as it is written in paths, UTC."""
    return datetime.fromtimestamp(hour * 3600, UTC).strftime(HOUR_FORMAT)


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file, described by its path. first, last: offsets of its first and last record; hour: counted from 1970."""

    partition: Partition
    hour: int
    first: int
    last: int
    num_bytes: int = 0

    @property
    def path(self) -> str:
        """The path below the archive's root."""
        topic, index = self.partition
        name = f"{topic}-{index}-{self.first:0{OFFSET_DIGITS}}-{self.last:0{OFFSET_DIGITS}}.parquet"
        return f"topic={topic}/hour={hour_name(self.hour)}/{name}"

    @property
    def from_ms(self) -> int:
        """The start of its hour."""
        return self.hour * HOUR_MS

    @property
    def until_ms(self) -> int:
        """The end of its hour, after every timestamp in it."""
        return (self.hour + 1) * HOUR_MS

    def holds(self, other: ArchiveFile) -> bool:
        """Whether the other's range lies within this one's, so that readers do not need the other."""
        same = self.partition == other.partition and self.hour == other.hour
        return same and self.first <= other.first and other.last <= self.last


def parse_path(path: str, num_bytes: int = 0) -> ArchiveFile | None:
    """Parses a path below the root; None where it is not one of the archive's."""
    found = _PATH.fullmatch(path)
    if found is None or int(found["first"]) > int(found["last"]):
        return None
    try:
        hour = int(datetime.strptime(found["hour"], HOUR_FORMAT).replace(tzinfo=UTC).timestamp()) // 3600
    except ValueError:  # the 31st of February
        return None
    partition = Partition(found["topic"], int(found["partition"]))
    return ArchiveFile(partition, hour, int(found["first"]), int(found["last"]), num_bytes)


def by_partition(files: Iterable[ArchiveFile]) -> dict[Partition, list[ArchiveFile]]:
    """Groups files by partition in reading order: by first offset, the longer first."""
    ordered = sorted(files, key=lambda file: (file.partition, file.first, -file.last, file.hour))
    return {partition: list(group) for partition, group in itertools.groupby(ordered, lambda file: file.partition)}
