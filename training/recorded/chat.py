"""Recorded chat as arrays in time order, for evaluation and examples. Never derives a visit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from streaming.errors import InputFileError
from streaming.recorded.recording import Recording


@dataclass(frozen=True, slots=True)
class Windows:
    """Recorded windows [first, end)."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Chat:
    """M messages in time order; messages of the same microsecond keep the order of their rows.

    The first `num_train` are history to learn from, the others are the test.
    """

    at_us_M: NDArray[np.int64]
    channel_M: NDArray[np.int32]  # index into channels
    viewer_M: NDArray[np.int32]  # index into viewers
    channels: tuple[str, ...]
    viewers: tuple[str, ...]
    num_train: int


def load(
    train: Sequence[Recording], test: Sequence[Recording], train_windows: Windows | None, test_windows: Windows | None
) -> Chat:
    """Reads both parts, with common ids. Raises InputFileError: one is empty, or they overlap."""
    past, future = _read(train, test, train_windows, test_windows, ("channel", "viewer"))
    for table, option in ((past, "--train"), (future, "--test")):
        if not len(table):
            raise InputFileError(f"{option}: no messages in the files and windows given")
    last_us, first_us = pc.max(past["at_us"]).as_py(), pc.min(future["at_us"]).as_py()
    if last_us >= first_us:
        raise InputFileError(
            f"training ends at {_iso(last_us)}, but the test begins at {_iso(first_us)}: a test must lie after all of "
            "the training, or the past would be predicted from the future; give other files or windows"
        )
    both = pa.concat_tables([past, future])
    order_M = np.argsort(both["at_us"].to_numpy(), kind="stable")
    channels, viewers = (both[name].combine_chunks().dictionary_encode() for name in ("channel", "viewer"))
    return Chat(
        at_us_M=both["at_us"].to_numpy()[order_M],
        channel_M=channels.indices.to_numpy()[order_M],
        viewer_M=viewers.indices.to_numpy()[order_M],
        channels=tuple(channels.dictionary.to_pylist()),
        viewers=tuple(viewers.dictionary.to_pylist()),
        num_train=len(past),
    )


def load_texts(
    train: Sequence[Recording], test: Sequence[Recording], train_windows: Windows | None, test_windows: Windows | None
) -> pa.StringArray:
    """The texts of the messages that `load` returns, in its order, [M]."""
    both = pa.concat_tables(_read(train, test, train_windows, test_windows, ("text",)))
    order_M = np.argsort(both["at_us"].to_numpy(), kind="stable")
    return both["text"].take(pa.array(order_M)).combine_chunks()


def _read(
    train: Sequence[Recording],
    test: Sequence[Recording],
    train_windows: Windows | None,
    test_windows: Windows | None,
    columns: Sequence[str],
) -> tuple[pa.Table, pa.Table]:
    past = pa.concat_tables([_table(file, train_windows, "--train-windows", columns) for file in train])
    future = pa.concat_tables([_table(file, test_windows, "--test-windows", columns) for file in test])
    return past, future


def _table(recording: Recording, windows: Windows | None, option: str, columns: Sequence[str]) -> pa.Table:
    """A table of at_us and the columns; `channel` is the room in files that name only rooms."""
    if windows is not None and "window" not in recording.columns:
        raise InputFileError(f"{recording.path}: no column window, so {option} cannot choose; leave it out")
    place = "channel" if "channel" in recording.columns else "room"
    names = {name: place if name == "channel" else name for name in columns}
    parts = []
    for batch in recording.batches((*names.values(), "window", "at_us")):
        rows = pa.table({"at_us": batch["at_us"], **{name: batch[read] for name, read in names.items()}})
        if windows is not None:
            window_N = batch["window"].to_numpy(zero_copy_only=False)
            rows = rows.filter(pa.array((window_N >= windows.first) & (window_N < windows.end)))
        parts.append(rows)
    schema = pa.schema([("at_us", pa.int64()), *((name, pa.string()) for name in columns)])
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _iso(at_us: int) -> str:
    return str(np.datetime64(at_us, "us"))
