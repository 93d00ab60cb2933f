"""Changes what a broker has stored in a partition, as bad disks and bad machines do. Never goes through the broker."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from kafka.record.util import calc_crc32c

ATTRIBUTES_AT = 21
PAYLOAD_AT = 61
LENGTH = struct.Struct(">qi")


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """Where a batch stands in its file, and its offsets."""

    place: int
    size: int
    first: int
    last: int


class StoredPartition:
    """The first segment of a partition of a broker on this machine."""

    def __init__(self, folder: Path, topic: str, index: int) -> None:
        """folder: of log.dirs."""
        (self._file,) = folder.rglob(f"{topic}-{index}/{0:020d}.log")

    def batches(self) -> list[StoredBatch]:
        """All batches, in order; before anything was changed."""
        data, place = self._file.read_bytes(), 0
        found: list[StoredBatch] = []
        while place + LENGTH.size <= len(data):
            first, length = LENGTH.unpack_from(data, place)
            (delta,) = struct.unpack_from(">i", data, place + 23)
            found.append(StoredBatch(place, LENGTH.size + length, first, first + delta))
            place += LENGTH.size + length
        return found

    def codecs(self) -> set[int]:
        """With what the batches are packed, as Kafka numbers it."""
        return {self._read(batch)[ATTRIBUTES_AT + 1] & 0x07 for batch in self.batches()}

    def flip(self, batch: StoredBatch, at: int, bits: int = 0xFF) -> None:
        """Changes a byte of a batch."""
        data = self._read(batch)
        data[at] ^= bits
        self._write(batch, data)

    def rewrite(self, batch: StoredBatch, at: int, new: bytes) -> None:
        """Puts other bytes into a batch and makes its checksum right again."""
        data = self._read(batch)
        data[at : at + len(new)] = new
        data[17:21] = struct.pack(">I", calc_crc32c(bytes(data[ATTRIBUTES_AT:])))
        self._write(batch, data)

    def _read(self, batch: StoredBatch) -> bytearray:
        return bytearray(self._file.read_bytes()[batch.place : batch.place + batch.size])

    def _write(self, batch: StoredBatch, data: bytearray) -> None:
        with self._file.open("r+b") as file:
            file.seek(batch.place)
            file.write(data)
