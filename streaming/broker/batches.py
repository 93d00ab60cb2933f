"""Finds the batches in a broker's answer to a fetch. Never unpacks one, never moves a position.

A batch is valid where its checksum is right and its offsets fit in. The checksum does not cover the fields before it
(first offset, length, format): one flipped bit there would make a reader skip everything, or read for ever.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Final

from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.structs import TopicPartition

from streaming.troubles import Kind

OVERHEAD: Final = struct.Struct(">qi")  # first offset, length of the rest
MAGIC_AT: Final = 16
LEAST_BYTES: Final = {0: 26, 1: 34, 2: 61}  # of a batch of each format
# How a batch begins: an offset below 2^48, a length below 2^28, and the format. After damage it is looked for
BEGINNING: Final = re.compile(rb"(?=\x00\x00[\s\S]{6}[\x00-\x0f][\s\S]{3}[\s\S]{4}[\x00-\x02])")


class BadBatch(CorruptRecordError):  # type: ignore[misc]
    """A batch that cannot be read. offset: the first that is not read because of it; begins: surely its own first.

    early: it goes past the log's end that came with it. A broker looks at the end before it reads, so that this is also
    true of a batch that was written in between. Fetched once more, such a batch is good.
    """

    def __init__(
        self, there: TopicPartition, offset: int, kind: Kind, why: str, *, begins: bool = False, early: bool = False
    ) -> None:
        super().__init__(f"{there.topic} partition {there.partition}, offset {offset}: {why}")
        self.there = there
        self.offset = offset
        self.kind = kind
        self.why = why
        self.begins = begins
        self.early = early


class FetchedBatches:
    """Iterates over the batches of one answer, in the order of their offsets. For one thread.

    expected: the offset after the last batch. high: the log's end, None where it is not known.
    """

    def __init__(
        self,
        there: TopicPartition,
        data: bytes,
        offset: int,
        high: int | None,
        *,
        checked: bool = True,
        within: tuple[int, int] | None = None,
    ) -> None:
        """within: the first and the last offset at which the first batch may begin, if known.

        A broker finds a batch with a damaged first offset at no offset, and gives the batch behind it instead.
        """
        self._there = there
        self._data = memoryview(data)
        self._place = 0
        self._high = high
        self._checked = checked  # whether checksums are verified
        self._within = within
        self._behind: int | None = None  # first offset of a good batch before which something is missing
        self._first = offset
        self.expected = offset

    def next(self) -> Any:
        """The next batch; None at the end, also before a batch that is cut off. Raises BadBatch.

        After BadBatch only `resume` goes on.
        """
        while (batch := self._batch(self._place)) is not None:
            behind, last = self._place + batch.size_in_bytes, last_of(batch)
            self._require_order(batch.base_offset, last, behind)
            self._place, self._within = behind, None
            if last >= self.expected:
                self.expected = last + 1
                return batch
        return None

    def resume(self) -> bool:
        """Continues after BadBatch at the next valid batch of this answer. False where there is none."""
        self._within = None
        if self._behind is not None:
            self._first = self.expected = self._behind
            self._behind = None
            return True
        for found in BEGINNING.finditer(self._data, self._place + 1):
            batch = self._believed(found.start())
            if batch is not None:
                self._place = found.start()
                self._first = self.expected = max(self.expected, batch.base_offset)
                return True
        return False

    def bad(self, why: str, *, early: bool = False) -> BadBatch:
        """The error for the batch at the expected offset."""
        begins = self.expected != self._first
        return BadBatch(self._there, self.expected, "damaged", why, begins=begins, early=early)

    def _batch(self, place: int) -> Any:
        left = len(self._data) - place
        if left <= MAGIC_AT:
            if place == 0 and left:
                raise self.bad(f"the broker gives {left} bytes, which is no batch")
            return None
        _, length = OVERHEAD.unpack_from(self._data, place)
        magic, size = self._data[place + MAGIC_AT], OVERHEAD.size + length
        if size < LEAST_BYTES.get(magic, MAGIC_AT + 1):
            raise self.bad(f"a batch says that it is {size} bytes long, which is too short")
        if size > left:
            if place == 0:  # a broker sends at least one whole batch
                raise self.bad(f"a batch says that it is {size} bytes long, and the broker gives {left}")
            return None
        if magic not in LEAST_BYTES:
            raise self.bad(f"a batch says that it is of record format {magic}")
        data = self._data[place : place + size]
        batch = DefaultRecordBatch(data) if magic == 2 else LegacyRecordBatch(data, magic)
        if self._checked and not batch.validate_crc():
            raise self.bad("a batch fails its checksum: its bytes are not those that were written")
        return batch

    def _believed(self, place: int) -> Any:
        """The batch at a place; None where there is no valid one that fits in."""
        try:
            batch = self._batch(place)
        except BadBatch:
            return None
        return batch if batch is not None and batch.validate_crc() and self._fits(batch) else None

    def _fits(self, batch: Any) -> bool:
        return last_of(batch) >= self.expected and (self._high is None or last_of(batch) < self._high)

    def _require_order(self, first: int, last: int, behind: int) -> None:
        """Checks a batch's offsets against the log's end, the batches before and the one behind. Raises BadBatch."""
        if first == self.expected and self._within is None and (self._high is None or last < self._high):
            return  # the usual case
        says = f"a batch says that it goes from offset {first} to {last}"
        following = self._offset_at(behind)
        if self._high is not None and last >= self._high:
            raise self.bad(f"{says}, and the log ends at {self._high}", early=True)
        if self._within is not None and not self._within[0] <= first <= self._within[1]:
            self._behind = first if first > self.expected else None
            raise self.bad(f"the broker does not find the batch of that offset, and gives the one at {first}")
        if first < self.expected:  # a fetch from the middle of a batch gives all of it, and maybe those before
            if self.expected != self._first or (last < self.expected and following != last + 1):
                raise self.bad(f"{says}, and it stands behind those")
        elif following is not None and first > self.expected <= following <= last and self._believed(behind):
            raise self.bad(f"{says}, and the one behind it begins at {following}")

    def _offset_at(self, place: int) -> int | None:
        if len(self._data) - place <= MAGIC_AT:
            return None
        offset: int = OVERHEAD.unpack_from(self._data, place)[0]
        return offset


def last_of(batch: Any) -> int:
    """A batch's last offset. A message of format 0 or 1 has that of its last inner record."""
    return int(batch.last_offset if batch.magic == 2 else batch.base_offset)
