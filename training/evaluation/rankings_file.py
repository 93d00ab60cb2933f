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
from training.recorded.replay_state import Moment

RANKED = 20
ROWS = 20_000  # a row group


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
        self._rows: list[tuple[int, int, int, NDArray[np.intp], int]] = []

    def __enter__(self) -> RankingsFile:
        try:
            self._writer = pa.parquet.ParquetWriter(self._unfinished, self._schema, compression="zstd")
        except OSError as err:
            raise InputFileError(f"--rankings {self._path}: cannot be written: {err}") from err
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write()
        self._writer.close()
        if error is None:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink()

    def add(self, moment: Moment, ranked_N: NDArray[np.intp]) -> None:
        """Adds a visit's ranking. ranked_N: all live channels, best first."""
        entered = int(moment.live_N[moment.entered])
        self._rows.append((moment.at_us, moment.viewer, entered, ranked_N[:RANKED].copy(), len(ranked_N)))
        if len(self._rows) >= ROWS:
            self._write()

    def _write(self) -> None:
        at_us, viewers, entered, ranked, live = zip(*self._rows, strict=True) if self._rows else ((),) * 5
        offsets = np.cumsum([0, *map(len, ranked)]).astype(np.int32)
        flat = np.concatenate(ranked) if ranked else np.empty(0, np.intp)
        columns = [
            pa.array(at_us, pa.timestamp("us")),
            self._viewers.take(pa.array(viewers, pa.int64())),
            self._channels.take(pa.array(entered, pa.int64())),
            pa.ListArray.from_arrays(pa.array(offsets), self._channels.take(pa.array(flat, pa.int64()))),
            pa.array(live, pa.int32()),
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self._rows.clear()


def _numbers(names: pa.Array) -> pa.Array:
    try:
        numbers = names.cast(pa.int64())
    except pa.ArrowInvalid:
        return names
    return numbers if numbers.cast(pa.string()).equals(names) else names  # "007" is not 7
