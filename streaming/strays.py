"""Finds keys in compacted partitions that belong to another one since their topic has grown. Never writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streaming.log import Log
from streaming.partitioner import partition_of
from streaming.restore import last_values


@dataclass(frozen=True, slots=True)
class Stray:
    """The last value of a key in a partition that is no longer the key's."""

    partition: int
    key: bytes
    value: bytes


def strays(log: Log, topic: str, index: int, partitions: int) -> Iterator[Stray]:
    """Finds values outside partition `index` of `partitions` whose keys belong to it. Blocks. Raises LogUnavailable."""
    others = [partition for partition in log.partitions(topic) if partition.index != index]
    for partition, end in log.ends(others).items():
        if not end:
            continue
        for key, value in last_values(log, partition).items():
            if partition_of(key, partitions) == index:
                yield Stray(partition.index, key, value)
