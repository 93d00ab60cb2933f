"""Records that are read and not written yet, grouped into future files. Never writes one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streaming.archive.file import ArchiveFile, hour_of
from streaming.log.log import Partition, Record

RECORD_BYTES = 150  # memory of a record beside its key and value


@dataclass
class NextFile:
    """Consecutive records of one partition and one hour: the next file."""

    partition: Partition
    hour: int
    since_s: float  # when the first of them was read
    first: int = 0  # the archive's offset of the log's offset 0
    records: list[Record] = field(default_factory=list)
    num_bytes: int = 0

    @property
    def file(self) -> ArchiveFile:
        """The file that will hold these records."""
        first, last = self.records[0].offset, self.records[-1].offset
        return ArchiveFile(self.partition, self.hour, self.first + first, self.first + last)

    def add(self, records: Sequence[Record]) -> None:
        self.records += records
        self.num_bytes += sum(RECORD_BYTES + len(one.key or b"") + len(one.value or b"") for one in records)


class Pending:
    """Runs of all partitions. Those of one partition must be written in the order of `take`."""

    def __init__(self, first: Mapping[Partition, int] | None = None) -> None:
        """first: by partition, the archive's offset of the log's offset 0; 0 if absent."""
        self._first = first or {}
        self._runs: dict[Partition, list[NextFile]] = {}
        self.num_records = 0
        self.num_bytes = 0

    def add(self, partition: Partition, records: Sequence[Record], now_s: float) -> None:
        """Adds records that follow those of the partition so far."""
        for hour, run in itertools.groupby(records, lambda record: hour_of(record.timestamp)):
            self._extend(partition, hour, list(run), now_s)

    def due(self, now_s: float, *, age_s: float, rows: int, most_bytes: int) -> list[Partition]:
        """Partitions whose hour is over, or whose oldest record has waited for `age_s`, or that hold `rows`.

        Once all together exceed `most_bytes`, the largest are added until the rest is at most half of that.
        """
        found = [
            partition
            for partition, runs in self._runs.items()
            if len(runs) > 1 or now_s - runs[0].since_s >= age_s or len(runs[0].records) >= rows
        ]
        if self.num_bytes > most_bytes:
            left = self.num_bytes
            for partition, runs in sorted(self._runs.items(), key=lambda item: -sum(run.num_bytes for run in item[1])):
                if left <= most_bytes // 2:
                    break
                left -= sum(run.num_bytes for run in runs)
                if partition not in found:
                    found.append(partition)
        return found

    def take(self, partition: Partition) -> list[NextFile]:
        """Removes and returns a partition's runs, in order of offset."""
        runs = self._runs.pop(partition, [])
        self.num_records -= sum(len(run.records) for run in runs)
        self.num_bytes -= sum(run.num_bytes for run in runs)
        return runs

    def partitions(self) -> list[Partition]:
        """The partitions that have records."""
        return list(self._runs)

    def _extend(self, partition: Partition, hour: int, records: Sequence[Record], now_s: float) -> None:
        runs = self._runs.setdefault(partition, [])
        if not runs or runs[-1].hour != hour:
            runs.append(NextFile(partition, hour, now_s, self._first.get(partition, 0)))
        run = runs[-1]
        before = run.num_bytes
        run.add(records)
        self.num_records += len(records)
        self.num_bytes += run.num_bytes - before
