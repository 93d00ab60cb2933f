"""Merges small files of hours that are over, deletes hours that are too old, empties records of erased viewers.

A merged file is complete before the first file that it replaces is deleted. Until the last of them is gone, readers see
that they lie within it. So no record is lost to a crash. Old hours are deleted oldest file first. A partition's newest
file stays: it has the position.

A record that was erased keeps its offset and its time, and loses its key and value. So a file keeps its name, and is
replaced by the emptied one at one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from streaming.archive.config import ArchiveConfig
from streaming.archive.erasures import HOLDING, ErasedViewers, erased_viewers
from streaming.archive.file import ArchiveFile, by_partition
from streaming.archive.parquet import SCHEMA, batches_of, save, to_parquet
from streaming.archive.reader import Archive, TimeRange
from streaming.errors import BadArchiveFile
from streaming.log.topics import HOUR_MS
from streaming.metrics import Metrics

SETTLED_MS = 300_000  # until an hour's last files are written: longer than flush_s, and than an outage


@dataclass(frozen=True, slots=True)
class Step:
    """One step of upkeep: `file` was merged from, deleted as, or erased in, `num_files` files of `num_bytes`."""

    action: Literal["merged", "deleted", "erased"]
    file: ArchiveFile
    num_files: int
    num_bytes: int
    num_records: int = 0  # erased in it


def compact(archive: Archive, config: ArchiveConfig, now_ms: int, metrics: Metrics) -> Iterator[Step]:
    """Merges files, one group per step. It may be stopped between two steps. Raises ArchiveError."""
    for files in by_partition(archive.files()).values():
        over = [file for file in files if file.until_ms + SETTLED_MS <= now_ms]
        needed, spare = _split(archive, over)
        yield from _drop(archive, spare, metrics)
        left = [file for file in files if file not in spare]
        for group in _groups(needed, left, config.compact_mb << 20):
            merged = _merge(archive, group)
            if merged is None:
                continue
            metrics.count("archive_files_total", action="merged")
            for file in group:
                archive.store.delete(file.path)
            yield Step("merged", merged, len(group), sum(file.num_bytes for file in group))


class Eraser:
    """Empties the records of viewers who were erased. Where it is kept, it reads a file again for new erasures only."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}  # path of a file → erasures against which it was held

    def steps(self, archive: Archive, now_ms: int, metrics: Metrics) -> Iterator[Step]:
        """Empties records in files of hours that are over, one file per step. Raises ArchiveError."""
        erased = erased_viewers(archive)
        if not len(erased):
            return
        files = [one for one in archive.files() if one.partition.topic in HOLDING]
        self._seen = {file.path: self._seen[file.path] for file in files if file.path in self._seen}
        for file in files:
            if file.until_ms + SETTLED_MS > now_ms or self._seen.get(file.path) == erased.version:
                continue
            num_records = _emptied(archive, file, erased)
            self._seen[file.path] = erased.version
            if num_records:
                metrics.count("archive_files_total", action="erased")
                yield Step("erased", file, 1, file.num_bytes, num_records)


def _emptied(archive: Archive, file: ArchiveFile, erased: ErasedViewers) -> int:
    """Replaces a file by one without the erased records; returns their number. A damaged file stays as it is."""
    try:
        batches = list(batches_of(archive.store, file))
    except (BadArchiveFile, FileNotFoundError):  # others have it reported, or have merged it
        return 0
    masks = [erased.of(file.partition.topic, batch) for batch in batches]
    num_records = int(sum(mask.sum() for mask in masks))
    if num_records:
        table = pa.Table.from_batches([_blanked(*pair) for pair in zip(batches, masks, strict=True)], SCHEMA)
        archive.store.put(file.path, to_parquet(table), replace=True)
    return num_records


def _blanked(batch: pa.RecordBatch, erased_N: NDArray[np.bool_]) -> pa.RecordBatch:
    """The batch without the keys and values of the erased records."""
    kept = pa.array(~erased_N)
    columns = [
        pa.compute.if_else(kept, column, pa.scalar(None, column.type)) if name in ("key", "value") else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def prune(archive: Archive, config: ArchiveConfig, now_ms: int, metrics: Metrics) -> Iterator[Step]:
    """Deletes files of hours that ended more than `keep_hours` ago, one per step. Raises ArchiveError."""
    for step in expired(archive, config, now_ms):
        yield from _drop(archive, [step.file], metrics)


def expired(archive: Archive, config: ArchiveConfig, now_ms: int) -> Iterator[Step]:
    """Lists the steps that `prune` would do. Raises ArchiveError."""
    if not config.keep_hours:
        return
    for files in by_partition(archive.files()).values():
        whole = (file for file in sorted(files, key=lambda one: one.last, reverse=True) if archive.is_whole(file))
        newest = next(whole, None)
        for file in files:
            if file.until_ms <= now_ms - config.keep_hours * HOUR_MS and file != newest:
                yield Step("deleted", file, 1, file.num_bytes)


def _drop(archive: Archive, files: Sequence[ArchiveFile], metrics: Metrics) -> Iterator[Step]:
    for file in files:
        archive.store.delete(file.path)
        metrics.count("archive_files_total", action="deleted")
        yield Step("deleted", file, 1, file.num_bytes)


def _split(archive: Archive, files: Sequence[ArchiveFile]) -> tuple[list[ArchiveFile], list[ArchiveFile]]:
    """Splits files into whole ones that a reader needs, and those within another, left by a crash after a merge."""
    needed: list[ArchiveFile] = []
    spare: list[ArchiveFile] = []
    for file in files:  # by first offset, the longer first: a file comes after the one that holds it
        if any(other.holds(file) for other in needed[-1:]):
            spare.append(file)
        elif archive.is_whole(file):
            needed.append(file)
    return needed, spare


def _groups(
    needed: Sequence[ArchiveFile], files: Sequence[ArchiveFile], most_bytes: int
) -> Iterator[list[ArchiveFile]]:
    """Groups two or more neighbours of the same hour. A file between them that is not to be merged ends a group.

    So a merged file's range covers no record of another hour, nor of a damaged file.
    """
    group: list[ArchiveFile] = []
    for file in files:
        joins = file in needed and bool(group) and file.hour == group[0].hour
        if not joins or sum(one.num_bytes for one in (*group, file)) > most_bytes:
            if len(group) > 1:
                yield group
            group = []
        if file in needed:
            group.append(file)
    if len(group) > 1:
        yield group


def _merge(archive: Archive, group: Sequence[ArchiveFile]) -> ArchiveFile | None:
    """Merges a group to one file. None where a file is damaged, or was taken away by another Archiver."""
    known = set(archive.skipped)
    try:
        batches = list(archive.read_partition(group[0].partition, TimeRange(), only=group))
    except FileNotFoundError:
        return None
    if not known.issuperset(archive.skipped):  # a page is damaged although the footer is whole: nothing is merged
        return None
    first, last = group[0], max(group, key=lambda file: file.last)
    merged = ArchiveFile(first.partition, first.hour, first.first, last.last)
    return save(archive.store, merged, pa.Table.from_batches(batches))
