"""Reads recorded files: Parquet, CSV and JSON lines, a batch at a time. Never derives events and never sends them.

Columns; any others are ignored. The time is `at` (a timestamp, or ISO 8601 text; UTC if it says no zone) or `at_ms`
(milliseconds since the Unix epoch). An id may be a number. Rows need not be in time order, but a file that is not is
read into memory as a whole.

    chat           at, channel or room, viewer, text; window (an integer: which recording the row is of) if known
    rooms          at, type (started, updated, ended), room, streamer; title, category, language, mature,
                   tags (a list, or text with ";" between) if known
    viewer-events  at, viewer, room, streamer, action (enter, leave, watch, like, gift, follow, chat); seconds if known
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
from numpy.typing import NDArray

from streaming.errors import InputFileError
from streaming.events import MAX_AT_MS, MAX_ID_LENGTH

Kind = Literal["chat", "rooms", "viewer-events"]
FORMATS = {".parquet": "Parquet", ".csv": "CSV", ".jsonl": "JSON lines", ".ndjson": "JSON lines", ".json": "JSON lines"}
BATCH_ROWS = 16_384
BLOCK_BYTES = 4_194_304  # of a text file read at once; a row must fit in it


@dataclass(frozen=True, slots=True)
class _Layout:
    """Columns of a kind. `ids` and `texts` must be there, `optional` may."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    optional: tuple[str, ...]


_LAYOUTS: dict[Kind, _Layout] = {
    "chat": _Layout(("viewer",), ("text",), ("channel", "room", "window")),
    "rooms": _Layout(("room",), ("type",), ("streamer", "title", "category", "language", "tags", "mature")),
    "viewer-events": _Layout(("viewer", "room", "streamer"), ("action",), ("seconds",)),
}
_TYPES = {"window": pa.int64(), "seconds": pa.float64(), "mature": pa.bool_()}  # the others are text


class Recording:
    """One recorded file. Opening it checks its columns; reading it checks its values."""

    def __init__(self, path: Path, kind: Kind, columns: Sequence[str]) -> None:
        self.path = path
        self.kind = kind
        self.columns = frozenset(columns)

    @staticmethod
    def open(path: Path, kind: Kind = "chat") -> Recording:
        """Raises InputFileError: no such file, another format, or a column is missing."""
        if path.suffix.lower() not in FORMATS:
            raise InputFileError(f"{path}: not a recording; a file must end in {', '.join(FORMATS)}")
        recording = Recording(path, kind, _columns_of(path))
        recording._check()
        return recording

    def batches(self, columns: Sequence[str] = (), order: NDArray[np.int64] | None = None) -> Iterator[dict[str, Any]]:
        """Batches of rows: `at_ms` [N] int64 and the columns asked for, those that are there, as Arrow arrays.

        "at_us" among the columns: the times in microseconds as well, [N] int64, as exact as the file has them.
        order: the rows in the order wanted, for which the whole file is held in memory. Raises InputFileError.
        """
        wanted = ["at_ms" if "at_ms" in self.columns else "at"]
        wanted += [name for name in columns if name in self.columns]
        try:
            source = _read(self.path, wanted)
            if order is not None:
                source = pa.Table.from_batches(list(source)).take(order).to_batches(BATCH_ROWS)
            row = 0
            for batch in source:
                arrays = self._normalised(batch, wanted, row)
                if "at_us" in columns:
                    arrays["at_us"] = self._exact(batch.column(wanted[0]), wanted[0])
                yield arrays
                row += len(batch)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as err:
            raise InputFileError(f"{self.path}: cannot be read as {self._format}: {err}") from err

    @property
    def _format(self) -> str:
        return FORMATS[self.path.suffix.lower()]

    def _check(self) -> None:
        layout = _LAYOUTS[self.kind]
        missing = [name for name in (*layout.ids, *layout.texts) if name not in self.columns]
        if not self.columns & {"at", "at_ms"}:
            missing.insert(0, "at (a timestamp) or at_ms (milliseconds)")
        if self.kind == "chat" and not self.columns & {"channel", "room"}:
            missing.append("channel or room")
        if missing:
            raise InputFileError(
                f"{self.path}: no column {', no column '.join(missing)}. A {self.kind} recording has at or at_ms, "
                f"{', '.join((*layout.ids, *layout.texts))} and may have {', '.join(layout.optional)}; "
                f"this file has {', '.join(sorted(self.columns)) or 'none'}"
            )

    def _normalised(self, batch: Any, wanted: Sequence[str], first_row: int) -> dict[str, Any]:
        arrays: dict[str, Any] = {"at_ms": self._times(batch.column(wanted[0]), wanted[0], first_row)}
        layout = _LAYOUTS[self.kind]
        for name in wanted[1:]:
            column = batch.column(name)
            if name == "tags":
                arrays[name] = column
                continue
            column = self._cast(column, _TYPES.get(name, pa.string()), name)
            if column.null_count and (name in (*layout.ids, *layout.texts) or name in ("channel", "window")):
                row = first_row + pc.index(column.is_null(), True).as_py() + 1
                raise InputFileError(f"{self.path}: row {row}: {name} is empty; every row needs one")
            if name in (*layout.ids, "channel", "streamer"):
                self._check_ids(column, name, first_row)
            arrays[name] = column
        return arrays

    def _times(self, column: Any, name: str, first_row: int) -> NDArray[np.int64]:
        if column.null_count:
            row = first_row + pc.index(column.is_null(), True).as_py() + 1
            raise InputFileError(f"{self.path}: row {row}: {name} is empty; every row needs a time")
        if name == "at" and pa.types.is_integer(column.type):
            raise InputFileError(f"{self.path}: column at holds numbers; call it at_ms if they are milliseconds")
        if name == "at":
            column = self._moments(column)
        times: NDArray[np.int64] = self._cast(column, pa.int64(), name).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero((times < 0) | (times > MAX_AT_MS))
        if len(wrong):
            raise InputFileError(
                f"{self.path}: row {first_row + int(wrong[0]) + 1}: {name} is {int(times[wrong[0]])} ms, "
                "which lies outside 1970 to 2100; is it microseconds?"
            )
        return times

    def _exact(self, column: Any, name: str) -> NDArray[np.int64]:
        """Times that are known to be good, in microseconds."""
        if name == "at":
            times: NDArray[np.int64] = pc.cast(self._moments(column, "us"), pa.int64()).to_numpy(zero_copy_only=False)
            return times
        return 1000 * self._times(column, name, 0)

    def _moments(self, column: Any, unit: str = "ms") -> Any:
        """Timestamps, UTC. Text may say its zone; Arrow wants all of a column to do so, or none."""
        if pa.types.is_string(column.type):
            column = pc.replace_substring_regex(column, pattern="[zZ]$", replacement="")
            zoned = pc.any(pc.match_substring_regex(column, r"[+-]\d\d:?\d\d$")).as_py()
            column = self._cast(column, pa.timestamp("us", "UTC" if zoned else None), "at")
        return self._cast(column, pa.timestamp(unit, getattr(column.type, "tz", None)), "at")

    def _check_ids(self, column: Any, name: str, first_row: int) -> None:
        lengths = pc.utf8_length(column).fill_null(1).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero((lengths < 1) | (lengths > MAX_ID_LENGTH))
        if len(wrong):
            raise InputFileError(
                f"{self.path}: row {first_row + int(wrong[0]) + 1}: {name} is {int(lengths[wrong[0]])} characters "
                f"long; an id has 1 to {MAX_ID_LENGTH}"
            )

    def _cast(self, column: Any, kind: Any, name: str) -> Any:
        if column.type == kind:
            return column
        try:
            return pc.cast(column, kind, safe=not pa.types.is_timestamp(kind))  # a timestamp's microseconds may go
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
            raise InputFileError(f"{self.path}: column {name} is {column.type}, expected {kind}: {err}") from err


def _columns_of(path: Path) -> list[str]:
    try:
        if FORMATS[path.suffix.lower()] == "Parquet":
            with pa.parquet.ParquetFile(path) as file:
                return list(file.schema_arrow.names)
        reader = _open_text(path, None)
        with reader:
            return list(reader.schema.names)
    except (pa.ArrowInvalid, OSError) as err:
        raise InputFileError(f"{path}: cannot be read as {FORMATS[path.suffix.lower()]}: {err}") from err


def _read(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    if FORMATS[path.suffix.lower()] == "Parquet":
        with pa.parquet.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns))
        return
    with _open_text(path, columns) as reader:
        for batch in reader:
            yield batch.select(list(columns))


def _open_text(path: Path, columns: Sequence[str] | None) -> Any:
    """A reader of CSV or JSON lines. Without `columns`: only to see which there are."""
    if FORMATS[path.suffix.lower()] == "CSV":
        if columns is None:
            return pa.csv.open_csv(path, read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES))
        types = {name: _TYPES.get(name, pa.string()) for name in columns}
        return pa.csv.open_csv(
            path,
            read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(column_types=types, include_columns=list(columns)),
        )
    return pa.json.open_json(path, read_options=pa.json.ReadOptions(block_size=BLOCK_BYTES))
