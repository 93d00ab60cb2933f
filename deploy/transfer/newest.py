"""Partitions read to their end in bounded memory: records as they come, and the newest of each key. Never writes."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from streaming.errors import LogUnavailable, Unreadable
from streaming.log.log import Log, Partition, Record

POLL_S = 0.1
SILENCE_S = 15.0


def records_to(log: Log, partition: Partition, end: int) -> Iterator[Sequence[Record]]:
    """The records before the offset `end`, as they come. Raises LogUnavailable, Unreadable."""
    if end == 0:
        return
    reader = log.reader([partition])
    try:
        while reader.lag().get(partition, 1) > 0:
            batch = reader.poll(POLL_S)
            for trouble in reader.troubles():
                if trouble.unreadable:
                    raise Unreadable(trouble)
            records = batch.records.get(partition, ())
            if records:
                yield [record for record in records if record.offset < end]
                if records[-1].offset >= end - 1:
                    return
            if reader.contact_age_s() > SILENCE_S:
                raise LogUnavailable(f"no broker answers while {partition.topic} partition {partition.index} is read")
    finally:
        reader.close()


class NewestByKey:
    """A number for each key, of its newest record: at most 50 bytes a record that was read, whatever its size.

    Keys are known by a 64-bit hash: of ten million, two are the same once in 300,000 times. For one thread.
    """

    def __init__(self) -> None:
        self._hashes = array("q")
        self._numbers = array("q")
        self._sorted: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def add(self, key: bytes, number: int) -> None:
        """Notes the number of a record that is newer than all before it of this key."""
        self._hashes.append(hash(key))
        self._numbers.append(number)
        self._sorted = None

    def of(self, keys: Sequence[bytes], missing: int) -> list[int]:
        """The number of each key, `missing` where it has no record."""
        hashes, numbers = self._settled()
        if not len(hashes):
            return [missing] * len(keys)
        wanted = np.fromiter(map(hash, keys), np.int64, len(keys))
        places = np.searchsorted(hashes, wanted)
        inside = places < len(hashes)
        found = np.zeros(len(keys), bool)
        found[inside] = hashes[places[inside]] == wanted[inside]
        return [int(numbers[place]) if there else missing for place, there in zip(places, found, strict=True)]

    def count_of(self, wanted: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> int:
        """How many keys have such a number. wanted: says of all numbers, int64 [N], which are."""
        return int(wanted(self._settled()[1]).sum())

    def largest(self, missing: int) -> int:
        """The largest number, `missing` where there is no key."""
        return int(self._settled()[1].max(initial=missing))

    def __len__(self) -> int:
        return len(self._settled()[0])

    def _settled(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if self._sorted is None:
            hashes, numbers = np.array(self._hashes, np.int64), np.array(self._numbers, np.int64)
            order = np.argsort(hashes, kind="stable")
            hashes, numbers = hashes[order], numbers[order]
            last = np.append(hashes[1:] != hashes[:-1], True) if len(hashes) else np.zeros(0, bool)
            self._sorted = hashes[last], numbers[last]
        return self._sorted


def newest_of(
    log: Log, partitions: Sequence[Partition], number_of: Callable[[Record], int], seen: Callable[[int], None]
) -> NewestByKey:
    """The numbers of the newest records of partitions, as of now. seen: is told how many records were read."""
    newest = NewestByKey()
    for partition, end in log.ends(partitions).items():
        for records in records_to(log, partition, end):
            for record in records:
                if record.key is not None:
                    newest.add(record.key, number_of(record))
            seen(len(records))
    return newest
