"""A Parquet file of rankings, one row per visit, from which others can recompute the figures. Never ranks."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from streaming.errors import InputFileError
from training.recorded.chat import Chat
from training.recorded.recorded_visits import RecordedVisits

RANKED = 20


class RankingsFile:
    """A writer of rankings. A context manager: the file appears when all of it is written.

    Columns: at (timestamp[us]), viewer, entered, ranked (up to 20 channels, best first), live (how many). viewer is a
    number if every viewer's name is one.
    """

    def __init__(self, path: Path, chat: Chat) -> None:
        self._path, self._unfinished = path, path.with_name(path.name + ".part")
        self._channels = pa.array(chat.channels, pa.string())
        self._viewers = _numbers(pa.array(chat.viewers, pa.string()))
        self._schema = pa.schema(
            [
                ("at", pa.timestamp("us")),
                ("viewer", self._viewers.type),
                ("entered", pa.string()),
                ("ranked", pa.list_(pa.string())),
                ("live", pa.int32()),
            ]
        )

    def __enter__(self) -> RankingsFile:
        try:
            self._writer = pa.parquet.ParquetWriter(self._unfinished, self._schema, compression="zstd")
        except OSError as err:
            raise InputFileError(f"--rankings {self._path}: cannot be written: {err}") from err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
            if error is None:
                self._unfinished.replace(self._path)
        except OSError as err:
            raise InputFileError(f"--rankings {self._path}: cannot be written: {err}") from err
        finally:
            self._unfinished.unlink(missing_ok=True)

    def add(self, visits: RecordedVisits, ranked_R: NDArray[np.integer]) -> None:
        """Adds the rankings of visits. ranked_R: rows of the candidates, visit by visit, best first."""
        size_V, channel_R = visits.sets.size_V, visits.channel_R
        kept_R = np.arange(len(ranked_R)) - np.repeat(visits.sets.starts(), size_V) < RANKED
        offsets = np.append(0, np.cumsum(np.minimum(size_V, RANKED))).astype(np.int32)
        ranked = self._channels.take(pa.array(channel_R[ranked_R[kept_R]]))
        columns = [
            pa.array(visits.at_us_V, pa.timestamp("us")),
            self._viewers.take(pa.array(visits.viewer_V)),
            self._channels.take(pa.array(channel_R[visits.entered_R])),
            pa.ListArray.from_arrays(pa.array(offsets), ranked),
            pa.array(size_V, pa.int32()),
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))


def _numbers(names: pa.Array) -> pa.Array:
    try:
        numbers = names.cast(pa.int64())
    except pa.ArrowInvalid:
        return names
    return numbers if numbers.cast(pa.string()).equals(names) else names  # "007" is not 7
