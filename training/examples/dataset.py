"""Examples on disk: Parquet shards of visits in time order, tables they refer to, an index. Never aggregates events.

shard-00000.parquet …  a row a visit; lists of N rooms and T past visits in it
outcomes.parquet       a row a visit: what became of it, known only later
rooms.parquet          a row a room, by number: id, streamer
texts.parquet          a row a text, by number: what content vectors are made of, joined by hash from a cache
covisits.parquet       a row a pair of rooms that one viewer visited
index.json             written last: without it a folder holds no examples
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from streaming.errors import TrainingError

FORMAT = 3
INDEX = "index.json"


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """V examples in flat arrays, with R candidate rooms and P past visits in all.

    Example v has the next size_V[v] rooms and past_V[v] past visits, oldest first. Numbers of rooms and texts are rows
    of the set's tables, −1 for none. stay_s: NaN where it is unknown. heard_s: until the last sign of life. acts:
    chats, likes, gifts and follows together. seen_s: until the end of the room or of the log.
    """

    at_ms_V: NDArray[np.int64]
    viewer_V: NDArray[np.int64]  # a number that stands for the viewer, the same in every shard
    kind_V: NDArray[np.int8]
    entered_V: NDArray[np.int32]  # place among the example's rooms
    outside_V: NDArray[np.bool_]  # the room entered was not live: a positive outside the candidates
    stay_s_V: NDArray[np.float32]
    heard_s_V: NDArray[np.float32]
    acts_V: NDArray[np.int32]
    seen_s_V: NDArray[np.float32]
    size_V: NDArray[np.int32]
    room_R: NDArray[np.int32]
    segment_R: NDArray[np.int32]
    title_R: NDArray[np.int32]
    shown_R: NDArray[np.bool_]
    log_q_R: NDArray[np.float32]
    features_RF: NDArray[np.float32]  # F as in the set's `features`
    past_V: NDArray[np.int32]
    past_room_P: NDArray[np.int32]  # −1 where the room was forgotten
    past_streamer_P: NDArray[np.int32]  # row of the set's `streamers`
    past_segment_P: NDArray[np.int32]
    past_title_P: NDArray[np.int32]
    past_action_P: NDArray[np.int8]
    past_dwell_s_P: NDArray[np.float32]
    past_gap_s_P: NDArray[np.float32]
    past_since_same_s_P: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.at_ms_V)


@dataclass(frozen=True, slots=True, eq=False)
class ExampleTexts:
    """The K texts of a set's rooms, a room's in their order. segment_K: in 30 s since the epoch, −1 for a title.

    in_mean_K: whether the room's slow mean takes it in. labels_K2: language and category declared beside a title, as
    training/content/declared_labels.py has them.
    """

    room_K: NDArray[np.int32]
    segment_K: NDArray[np.int64]
    hash_K: NDArray[np.int64]
    in_mean_K: NDArray[np.bool_]
    labels_K2: NDArray[np.int32]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CoVisits:
    """Pairs of rooms of different streamers that one viewer entered within a day, the later one at at_ms."""

    at_ms: NDArray[np.int64]
    before: NDArray[np.int32]
    room: NDArray[np.int32]
    gap_s: NDArray[np.float32]


class ExampleSet:
    """A folder of examples. Opening reads the index and the small tables; shards are read one at a time."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder. Raises TrainingError: it has no examples, or a file is missing or damaged."""
        self.folder = folder
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        except FileNotFoundError as err:
            raise TrainingError(f"{folder}: no {INDEX}, so no examples, or they were not written to the end") from err
        except (OSError, ValueError) as err:
            raise TrainingError(f"{folder / INDEX}: cannot be read: {err}") from err
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            raise TrainingError(f"{folder / INDEX}: not examples of format {FORMAT}; make them again")
        self.features: tuple[str, ...] = tuple(index["features"])
        self.shard_sizes: tuple[int, ...] = tuple(index["shards"])
        self.span_ms: tuple[int, int] = (index["from_ms"], index["until_ms"])
        rooms = self._table("rooms.parquet")
        self.rooms: tuple[str, ...] = tuple(rooms["room"].to_pylist())
        self.streamers: tuple[str, ...] = tuple(index["streamers"])
        self.streamer_of_room: NDArray[np.int32] = rooms["streamer"].to_numpy()
        self._outcomes = self._table("outcomes.parquet")
        if len(self._outcomes) != len(self):
            raise TrainingError(f"{folder}: {len(self._outcomes)} outcomes of {len(self)} examples; make them again")

    def __len__(self) -> int:
        """The number of examples in all shards."""
        return sum(self.shard_sizes)

    def shard(self, number: int) -> Examples:
        """The examples of a shard. Raises TrainingError: it cannot be read."""
        table = self._table(shard_name(number))
        start = sum(self.shard_sizes[:number])
        if len(table) != self.shard_sizes[number]:
            raise TrainingError(f"{self.folder / shard_name(number)}: other rows than the index says; make them again")
        outcomes = self._outcomes.slice(start, len(table))
        return _examples(table, outcomes, len(self.features))

    def shards(self, rank: int = 0, processes: int = 1) -> Iterator[Examples]:
        """The shards of one of several processes: shard i belongs to process i % processes. Raises TrainingError."""
        for number in range(rank, len(self.shard_sizes), processes):
            yield self.shard(number)

    def texts(self) -> ExampleTexts:
        """The texts that content vectors are made of. Raises TrainingError."""
        table = self._table("texts.parquet")
        names = ("room", "segment", "hash", "in_mean")
        room_K, segment_K, hash_K, in_mean_K = (table[name].to_numpy() for name in names)
        labels_K2 = np.stack([table["language"].to_numpy(), table["category"].to_numpy()], axis=1)
        return ExampleTexts(room_K, segment_K, hash_K, in_mean_K, labels_K2, tuple(table["text"].to_pylist()))

    def covisits(self) -> CoVisits:
        """The pairs of rooms that one viewer visited. Raises TrainingError."""
        table = self._table("covisits.parquet")
        return CoVisits(*(table[name].to_numpy() for name in ("at_ms", "before", "room", "gap_s")))

    def _table(self, name: str) -> Any:
        path = self.folder / name
        try:
            return pa.parquet.read_table(path, page_checksum_verification=True).combine_chunks()
        except (OSError, pa.ArrowException) as err:
            raise TrainingError(f"{path}: cannot be read: {err}; make the examples again") from err


def joined(shards: Sequence[Examples]) -> Examples:
    """The examples of several shards as one; every column is flat."""
    return Examples(*(np.concatenate([getattr(shard, column.name) for shard in shards]) for column in fields(Examples)))


def shard_name(number: int) -> str:
    """The name of a shard's file."""
    return f"shard-{number:05d}.parquet"


def _examples(table: Any, outcomes: Any, num_features: int) -> Examples:
    def flat(name: str) -> Any:
        return _flat(table[name]).to_numpy(zero_copy_only=False)

    def plain(name: str) -> Any:
        return table[name].to_numpy()

    return Examples(
        at_ms_V=plain("at_ms"),
        viewer_V=plain("viewer"),
        kind_V=plain("kind"),
        entered_V=plain("entered"),
        outside_V=plain("surprise"),
        stay_s_V=outcomes["stay_s"].to_numpy(),
        heard_s_V=outcomes["heard_s"].to_numpy(),
        acts_V=outcomes["acts"].to_numpy(),
        seen_s_V=outcomes["seen_s"].to_numpy(),
        size_V=_lengths(table["room"]),
        room_R=flat("room"),
        segment_R=flat("segment"),
        title_R=flat("title"),
        shown_R=flat("shown"),
        log_q_R=flat("log_q"),
        features_RF=flat("features").reshape(-1, num_features),
        past_V=_lengths(table["past_room"]),
        past_room_P=flat("past_room"),
        past_streamer_P=flat("past_streamer"),
        past_segment_P=flat("past_segment"),
        past_title_P=flat("past_title"),
        past_action_P=flat("past_action"),
        past_dwell_s_P=flat("past_dwell_s"),
        past_gap_s_P=flat("past_gap_s"),
        past_since_same_s_P=flat("past_since_same_s"),
    )


def _flat(column: Any) -> Any:
    return column.combine_chunks().flatten() if isinstance(column, pa.ChunkedArray) else column.flatten()


def _lengths(column: Any) -> NDArray[np.int32]:
    offsets = column.combine_chunks().offsets.to_numpy()
    lengths: NDArray[np.int32] = np.diff(offsets).astype(np.int32)
    return lengths
