"""Writes the examples of a pass to a folder, a shard at a time, while the pass goes on. Never computes one.

Everything goes to a temporary folder, which replaces the requested one when it is complete: whatever goes wrong, the
examples that were there stay.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from streaming.archive.reader import Archive
from streaming.errors import TrainingError
from streaming.recorded.replay import Replay
from streaming.viewer.profile_config import ProfileConfig
from training.content.declared_labels import label
from training.examples.dataset import FORMAT, INDEX, ExampleSet, shard_name
from training.examples.event_stream import StreamRecord, from_archive, from_replay
from training.examples.generator import ROOM_TIMEOUT_S, ExamplePass
from training.examples.schema import ExamplesConfig, PassProgress
from training.examples.shard_builder import ShardBuilder
from training.examples.snapshot import snapshot_at
from training.features.features import SERVED

SHARD_EXAMPLES = 8_192
MAX_WAITING = 2  # shards in memory beside the one that is being filled


def write_recorded(
    replay: Replay,
    folder: Path,
    config: ExamplesConfig,
    progress: PassProgress,
    *,
    chat_alone: bool = True,
    chat_texts: bool = True,
) -> ExampleSet:
    """Writes the examples of a recording, as `tidecast replay` would play it; replaces those in the folder.

    chat_alone: the recording is of chat, from which visits and rooms are derived. chat_texts: whether content is wanted
    of what was said; titles are there in any case. Raises InputFileError: the recording
    cannot be read; TrainingError: it holds too little to learn from, or the folder cannot be written.
    """
    passing = ExamplePass(config, chat_alone=chat_alone, chat_texts=chat_texts)
    return write_examples(from_replay(replay), passing, folder, progress, "the recording")


def write_archived(
    archive: Archive,
    folder: Path,
    config: ExamplesConfig,
    progress: PassProgress,
    *,
    from_ms: int | None = None,
    until_ms: int | None = None,
    profile: ProfileConfig | None = None,
    room_timeout_s: int = ROOM_TIMEOUT_S,
) -> ExampleSet:
    """Writes the examples of the archive's records with from_ms ≤ append time < until_ms.

    The state at from_ms is read as it was served. profile, room_timeout_s: the workers' settings, so that visits and
    rooms end when they ended there. Raises ArchiveError, TrainingError.
    """
    passing = ExamplePass(config, chat_alone=False, profile=profile, room_timeout_s=room_timeout_s)
    if from_ms is not None:
        passing.restore(snapshot_at(archive, from_ms))
    try:
        return write_examples(from_archive(archive, from_ms, until_ms), passing, folder, progress, "the archive")
    except TrainingError as err:
        if not archive.skipped:
            raise
        path, why = next(iter(archive.skipped.items()))
        raise TrainingError(f"{err}; {len(archive.skipped)} files were skipped, the first {path}: {why}") from err


def write_examples(
    stream: Iterable[StreamRecord], passing: ExamplePass, folder: Path, progress: PassProgress, what: str = ""
) -> ExampleSet:
    """Writes the examples of a pass over a stream; replaces those in the folder.

    what: the name of the stream in complaints that it holds too little to learn from; "": there are none. Raises what
    the stream raises, and TrainingError: the folder cannot be written.
    """
    unfinished = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        writer = _Writer(unfinished)
        with writer.threads:
            for example in passing.examples(stream, progress):
                writer.builder.add(example)
                if len(writer.builder) == SHARD_EXAMPLES:
                    writer.flush()
            if what:
                _check(passing, writer.builder, what)
            writer.finish(passing)
        replaced = folder.with_name(f"{folder.name}.old-{os.getpid()}")
        if folder.exists():
            folder.rename(replaced)
        unfinished.rename(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as err:
        raise TrainingError(f"{folder}: examples cannot be written: {err}") from err
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return ExampleSet(folder)


class _Writer:
    """A writer of shards and tables into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.builder = ShardBuilder()
        self.threads = ThreadPoolExecutor(1, "examples")
        self._waiting: list[Future[None]] = []
        self._sizes: list[int] = []
        self._until_ms = self._from_ms = 0

    def flush(self) -> None:
        """Hands the collected examples to the writing thread. Raises what writing an earlier shard raised."""
        if not len(self.builder):
            return
        if not self._sizes:
            self._from_ms = self.builder.first_ms
        self._until_ms = self.builder.last_ms + 1
        path = self._folder / shard_name(len(self._sizes))
        self._sizes.append(len(self.builder))
        while len(self._waiting) >= MAX_WAITING:
            self._waiting.pop(0).result()
        self._waiting.append(self.threads.submit(_save, self.builder.take(), path, float_columns=True))

    def finish(self, passing: ExamplePass) -> None:
        """Writes the rest, the tables, and the index last."""
        self.flush()
        for waiting in self._waiting:
            waiting.result()
        rooms, outcomes = passing.rooms, passing.outcomes()
        streamer = [self.builder.streamer(name) for name in rooms.streamers]
        tables = {
            "outcomes": {
                "stay_s": outcomes.stay_s_V,
                "heard_s": outcomes.heard_s_V,
                "acts": outcomes.acts_V,
                "seen_s": outcomes.seen_s_V,
            },
            "rooms": {"room": pa.array(list(rooms.numbers), pa.string()), "streamer": np.array(streamer, np.int32)},
            "texts": {
                "room": np.array([text.room for text in rooms.texts], np.int32),
                "segment": np.array([text.segment for text in rooms.texts], np.int64),
                "hash": np.array([text.hash for text in rooms.texts], np.int64),
                "in_mean": np.array([text.in_mean for text in rooms.texts], np.bool_),
                "text": pa.array([text.text for text in rooms.texts], pa.string()),
                "language": np.array([label(text.language) for text in rooms.texts], np.int32),
                "category": np.array([label(text.category) for text in rooms.texts], np.int32),
            },
            "covisits": {
                "at_ms": np.array([pair.at_ms for pair in passing.covisits], np.int64),
                "before": np.array([pair.before for pair in passing.covisits], np.int32),
                "room": np.array([pair.room for pair in passing.covisits], np.int32),
                "gap_s": np.array([pair.gap_s for pair in passing.covisits], np.float32),
            },
        }
        for name, columns in tables.items():
            _save(pa.table(columns), self._folder / f"{name}.parquet", float_columns=False)
        index = {
            "format": FORMAT,
            "features": list(SERVED),
            "shards": self._sizes,
            "streamers": self.builder.streamers,
            "from_ms": self._from_ms,
            "until_ms": self._until_ms,
            "records": passing.num_records,
            "visits": passing.num_visits,
            "late_visits": passing.num_late,
        }
        (self._folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def _save(table: Any, path: Path, *, float_columns: bool) -> None:
    options: dict[str, Any] = {"use_dictionary": False} if float_columns else {}
    pa.parquet.write_table(table, path, compression="zstd", compression_level=1, write_page_checksum=True, **options)


def _check(passing: ExamplePass, builder: ShardBuilder, what: str) -> None:
    """Checks that there is something to learn from. Raises TrainingError."""
    if not passing.num_records:
        raise TrainingError(f"{what} is empty: no rooms, chat or viewer events; let the system run, or give more of it")
    if not passing.num_visits:
        raise TrainingError(f"{what} holds {passing.num_records} records and no visit; viewers must enter rooms")
    if not passing.num_examples:
        raise TrainingError(
            f"{what} holds {passing.num_visits} visits and none to learn from: {passing.num_late} came late, the "
            "others lie before examples.since_ms or are not in the share"
        )
    if builder.num_viewers < 2:
        raise TrainingError(f"{what} holds visits of one viewer only: there is nobody to learn from for the others")
    entered = len({passing.rooms.streamers[room] for room in builder.entered})
    if entered < 2:
        raise TrainingError(f"{what} holds visits to one streamer only: there is no choice to learn")
