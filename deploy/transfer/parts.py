"""Files of an export: records of one topic as Parquet, so many that they fit in memory. Never decodes a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from deploy.transfer.manifest import ExportError, Part
from streaming.archive.store import Store, read_bytes
from training.registry.manifest import digest

SCHEMA = pa.schema([pa.field("key", pa.binary(), nullable=False), pa.field("value", pa.binary(), nullable=False)])
PART_BYTES = 16 << 20  # of keys and values: what an export holds in memory, a few times over
PART_RECORDS = 50_000
BATCH_RECORDS = 1_000


class Entry(NamedTuple):
    """The last value of a key."""

    key: bytes
    value: bytes


class PartWriter:
    """Writes the records of a topic as parts, each once it is full. For one thread."""

    def __init__(self, store: Store, topic: str) -> None:
        self._store = store
        self._topic = topic
        self._waiting: list[Entry] = []
        self._num_bytes = 0
        self.parts: list[Part] = []

    def add(self, entry: Entry) -> None:
        """Adds a record. Raises ArchiveError."""
        self._waiting.append(entry)
        self._num_bytes += len(entry.key) + len(entry.value)
        if self._num_bytes >= PART_BYTES or len(self._waiting) == PART_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Writes what waits. Raises ArchiveError."""
        if not self._waiting:
            return
        keys, values = zip(*self._waiting, strict=True)
        table = pa.Table.from_arrays([pa.array(keys, pa.binary()), pa.array(values, pa.binary())], schema=SCHEMA)
        sink = pa.BufferOutputStream()
        pa.parquet.write_table(table, sink, compression="zstd", write_statistics=False)
        data = sink.getvalue()
        path = f"{self._topic}/part-{len(self.parts):05}.parquet"
        self._store.put(path, data, replace=True)
        self.parts.append(
            Part(
                topic=self._topic,
                path=path,
                records=len(self._waiting),
                num_bytes=data.size,
                sha256=digest(memoryview(data)),
            )
        )
        self._waiting, self._num_bytes = [], 0

    def forget(self, parts: int) -> None:
        """Goes back to when there were so many parts: the next ones take the places of those after."""
        del self.parts[parts:]
        self._waiting, self._num_bytes = [], 0


def check_part(store: Store, part: Part) -> None:
    """Raises ExportError where a file is not what the manifest says."""
    _table(store, part)


def read_part(store: Store, part: Part) -> Iterator[Sequence[Entry]]:
    """The records of a part, some at a time. Raises ExportError."""
    for batch in _table(store, part).to_batches(max_chunksize=BATCH_RECORDS):
        pairs = zip(batch.column("key").to_pylist(), batch.column("value").to_pylist(), strict=True)
        yield [Entry(key, value) for key, value in pairs]


def _table(store: Store, part: Part) -> Any:
    place = f"{store.masked_uri}/{part.path}"
    try:
        data = read_bytes(store, part.path)
    except FileNotFoundError as err:
        raise ExportError(f"{place} is not there; the manifest lists it") from err
    if len(data) != part.num_bytes or digest(data) != part.sha256:
        raise ExportError(f"{place} is damaged: its size or checksum is not that of the manifest; nothing was written")
    try:
        table = pa.parquet.read_table(pa.BufferReader(data), schema=SCHEMA)
    except (pa.ArrowException, OSError) as err:
        raise ExportError(f"{place} cannot be read: {err}") from err
    if len(table) != part.records:
        raise ExportError(f"{place} has {len(table)} records, and the manifest says {part.records}")
    return table
