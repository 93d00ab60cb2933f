"""Content of the archive's files: records ↔ Parquet. Never names a file and never decodes a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from streaming.archive.file import ArchiveFile
from streaming.archive.store import Store
from streaming.errors import BadArchiveFile
from streaming.log.log import Record

# key and value are the bytes of the log, so that records of any version, and unreadable ones, are kept
SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
    ]
)
BATCH_ROWS = 65_536  # of a row group, and of a reader's batch
ZSTD_LEVEL = 3


def table_of(records: Sequence[Record], first: int = 0) -> Any:
    """Converts records of the log to a table of SCHEMA. first: the archive's offset of the log's offset 0."""
    columns = [
        pa.array([record.partition for record in records], pa.int32()),
        pa.array([first + record.offset for record in records], pa.int64()),
        pa.array([record.timestamp for record in records], pa.timestamp("ms", "UTC")),
        pa.array([record.key for record in records], pa.binary()),
        pa.array([record.value for record in records], pa.binary()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def to_parquet(table: Any) -> Any:
    """Serialises a table as a Parquet file in an Arrow buffer, so that a file is complete before it is written."""
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        row_group_size=BATCH_ROWS,
        use_dictionary=["partition", "key"],
        column_encoding={"offset": "DELTA_BINARY_PACKED", "timestamp": "DELTA_BINARY_PACKED"},
        write_statistics=["offset", "timestamp"],
        write_page_checksum=True,
    )
    return sink.getvalue()


def save(store: Store, file: ArchiveFile, table: Any) -> ArchiveFile:
    """Writes a file, unless there is a whole one of its name, which holds the same. Raises ArchiveError."""
    data = to_parquet(table)
    if not store.put(file.path, data):
        try:
            num_rows(store, file)
        except BadArchiveFile:
            store.put(file.path, data, replace=True)
        except FileNotFoundError:  # just merged into a larger one
            pass
    return replace(file, num_bytes=len(data))


def num_rows(store: Store, file: ArchiveFile) -> int:
    """Number of a file's records, from its footer. Raises BadArchiveFile, FileNotFoundError, ArchiveError."""
    with store.open(file.path) as source:
        return int(_opened(source, file).metadata.num_rows)


def batches_of(store: Store, file: ArchiveFile) -> Iterator[Any]:
    """Reads a file's records in batches of SCHEMA. Raises BadArchiveFile, FileNotFoundError, ArchiveError."""
    with store.open(file.path) as source:
        opened = _opened(source, file)
        try:
            yield from opened.iter_batches(batch_size=BATCH_ROWS)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as err:
            raise BadArchiveFile(f"{file.path}: damaged: {err}") from err


def _opened(source: Any, file: ArchiveFile) -> Any:
    """Opens a file and checks its footer against its name, because others may have put it there."""
    try:
        opened = pa.parquet.ParquetFile(source, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as err:
        raise BadArchiveFile(f"{file.path}: not Parquet, or cut off: {err}") from err
    if not opened.schema_arrow.equals(SCHEMA):
        raise BadArchiveFile(f"{file.path}: other columns than the archive's: {', '.join(opened.schema_arrow.names)}")
    groups = [opened.metadata.row_group(index).column(1).statistics for index in range(opened.num_row_groups)]
    found = (groups[0].min, groups[-1].max) if groups and all(groups) else None
    if found != (file.first, file.last):
        raise BadArchiveFile(f"{file.path}: its records are not those that its name says: {found}")
    return opened
