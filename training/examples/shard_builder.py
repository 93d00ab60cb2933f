"""A builder of shards: collects examples as columns. Never writes a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.examples.schema import Example
from training.features.features import SERVED

LIST_COLUMNS = {
    "room": np.int32,
    "segment": np.int32,
    "title": np.int32,
    "shown": np.bool_,
    "log_q": np.float32,
    "features": np.float32,
    "past_room": np.int32,
    "past_streamer": np.int32,
    "past_segment": np.int32,
    "past_title": np.int32,
    "past_action": np.int8,
    "past_dwell_s": np.float32,
    "past_gap_s": np.float32,
    "past_since_same_s": np.float32,
}
PLAIN_COLUMNS = {
    "at_ms": np.int64,
    "viewer": np.int64,
    "kind": np.int8,
    "entered": np.int32,
    "surprise": np.bool_,
}


class ShardBuilder:
    """Examples collected for the next shard, and the numbers of viewers and streamers, which stay."""

    def __init__(self) -> None:
        self.streamers: list[str] = []  # by number
        self.entered: set[int] = set()  # rooms
        self.first_ms = self.last_ms = 0
        self._streamer: dict[str, int] = {}
        self._viewer: dict[str, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._plain: dict[str, list[Any]] = {name: [] for name in PLAIN_COLUMNS}
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in LIST_COLUMNS}
        self._size: list[int] = []
        self._past: list[int] = []

    def __len__(self) -> int:
        return len(self._size)

    @property
    def num_viewers(self) -> int:
        """The number of viewers in all examples so far."""
        return len(self._viewer)

    def streamer(self, name: str) -> int:
        """The number of a streamer."""
        number = self._streamer.setdefault(name, len(self._streamer))
        if number == len(self.streamers):
            self.streamers.append(name)
        return number

    def add(self, example: Example) -> None:
        """Adds an example to the shard."""
        if not self._size:
            self.first_ms = example.at_ms
        self.last_ms = max(self.last_ms, example.at_ms)
        self.entered.add(int(example.room_N[example.entered]))
        viewer = self._viewer.setdefault(example.viewer, len(self._viewer))
        values = (example.at_ms, viewer, int(example.kind), example.entered, example.outside)
        for column, value in zip(self._plain.values(), values, strict=True):
            column.append(value)
        parts = self._parts
        parts["room"].append(example.room_N)
        parts["segment"].append(example.segment_N)
        parts["title"].append(example.title_N)
        parts["shown"].append(example.shown_N)
        parts["log_q"].append(example.log_q_N)
        parts["features"].append(example.features_NF.reshape(-1))
        self._size.append(len(example.room_N))
        past = example.past
        self._past.append(0 if past is None else len(past.visits))
        if past is None:
            return
        for place, name in enumerate(("past_room", "past_segment", "past_title")):
            parts[name].append(example.past_text_T3[:, place])
        parts["past_streamer"].append(np.array([self.streamer(visit.streamer) for visit in past.visits], np.int32))
        parts["past_action"].append(past.action_V)
        parts["past_dwell_s"].append(past.dwell_s_V)
        parts["past_gap_s"].append(past.gap_s_V)
        parts["past_since_same_s"].append(past.since_same_s_V)

    def take(self) -> Any:
        """The examples added since the last call, as a table with a row each."""
        columns: dict[str, Any] = {
            name: pa.array(np.array(values, PLAIN_COLUMNS[name])) for name, values in self._plain.items()
        }
        for name, parts in self._parts.items():
            sizes = self._past if name.startswith("past_") else self._size
            width = len(SERVED) if name == "features" else 1
            columns[name] = _lists(parts, sizes, width, LIST_COLUMNS[name])
        self._clear()
        return pa.table(columns)


def _lists(parts: Sequence[NDArray[Any]], sizes: Sequence[int], width: int, dtype: Any) -> Any:
    offsets = np.cumsum([0, *sizes], dtype=np.int64) * width
    flat = np.concatenate([np.zeros(0, dtype), *parts])
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(flat.astype(dtype, copy=False)))
