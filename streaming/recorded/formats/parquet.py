"""Reads Parquet recordings, batch by batch. Never converts a column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from streaming.errors import InputFileError
from streaming.recorded.formats.format import ALL_READ, TELLING, Block, numbered
from streaming.recorded.formats.recorded_file import PARQUET, Head, RecordedFile

BATCH_ROWS = 16_384


class Parquet:
    """Apache Parquet (https://parquet.apache.org/docs/file-format/)."""

    name = "parquet"
    title = "Parquet"
    numbered = "row"
    typed = True
    sparse = False

    def recognises(self, head: Head) -> bool:
        """Whether the first bytes or the name are Parquet's: a damaged file is recognised by its name."""
        return head.data.startswith(PARQUET) or head.suffix == ".parquet"

    def columns(self, file: RecordedFile) -> frozenset[str]:
        try:
            with pa.parquet.ParquetFile(file.path) as parquet:
                schema, held = parquet.schema_arrow, parquet.metadata
                twice = {name for name in schema.names if schema.names.count(name) > 1}
                if twice & ALL_READ:
                    raise InputFileError(f"{file.path}: it has the column {min(twice & ALL_READ)} twice")
                return frozenset(
                    name for name in schema.names if name not in TELLING or not _is_null(schema.field(name), held)
                )
        except (pa.ArrowException, OSError) as err:
            raise InputFileError(f"{file.path}: cannot be read as Parquet: {err}") from err

    def blocks(self, file: RecordedFile, columns: Sequence[str]) -> Iterator[Block]:
        first = 1
        try:
            with pa.parquet.ParquetFile(file.path) as parquet:
                for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
                    yield Block({name: batch.column(name) for name in columns}, numbered(first, len(batch)))
                    first += len(batch)
        except (pa.ArrowException, OSError) as err:
            raise InputFileError(f"{file.path}: cannot be read as Parquet, after row {first - 1:,}: {err}") from err


def _is_null(field: pa.Field, held: Any) -> bool:
    """Whether a column is null in all rows, by the file's own statistics."""
    if pa.types.is_null(field.type):
        return True
    if not held.num_rows or pa.types.is_nested(field.type):
        return False
    leaves = [held.schema.column(at).path for at in range(held.num_columns)]
    at = leaves.index(field.name)  # a nested column before it has several leaves
    counts = [held.row_group(index).column(at).statistics for index in range(held.num_row_groups)]
    return all(
        one is not None and one.has_null_count and one.null_count == held.row_group(index).num_rows
        for index, one in enumerate(counts)
    )
