"""Merges small files of hours that are over and deletes hours that are too old. Never loses a record to a crash.

A merged file is there, whole, before the first of those it replaces goes; until the last is gone, readers see that they
lie within it. An hour goes oldest file first, and the newest file of a partition stays: it says where to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from streaming.archive.config import ArchiveConfig
from streaming.archive.file import ArchiveFile, by_partition
from streaming.archive.parquet import save
from streaming.archive.reader import Archive, Span
from streaming.metrics import Metrics
from streaming.topics import HOUR_MS

SETTLED_MS = 300_000  # after an hour's end its last files are written: longer than flush_s, and than an outage


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done: `file` was merged from or deleted with `num_files` files of `num_bytes`."""

    action: Literal["merged", "deleted"]
    file: ArchiveFile
    num_files: int
    num_bytes: int


def compact(archive: Archive, config: ArchiveConfig, now_ms: int, metrics: Metrics) -> Iterator[Step]:
    """Merges, a group of files per step. May be left between two steps. Raises ArchiveError."""
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


def prune(archive: Archive, config: ArchiveConfig, now_ms: int, metrics: Metrics) -> Iterator[Step]:
    """Deletes files of hours that ended more than `keep_hours` ago, one per step. Raises ArchiveError."""
    for step in expired(archive, config, now_ms):
        yield from _drop(archive, [step.file], metrics)


def expired(archive: Archive, config: ArchiveConfig, now_ms: int) -> Iterator[Step]:
    """What `prune` would do. Raises ArchiveError."""
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
    """The files that a reader needs, whole ones only, and those within another: what a crash after a merge leaves."""
    needed: list[ArchiveFile] = []
    spare: list[ArchiveFile] = []
    for file in files:  # in order of first offset, the longer first: what holds a file comes before it
        if any(other.holds(file) for other in needed[-1:]):
            spare.append(file)
        elif archive.is_whole(file):
            needed.append(file)
    return needed, spare


def _groups(
    needed: Sequence[ArchiveFile], files: Sequence[ArchiveFile], most_bytes: int
) -> Iterator[list[ArchiveFile]]:
    """Neighbours of the same hour, two or more. A file between them that is not to be merged parts them.

    A merged file's range then covers no record of another hour, nor of a damaged file.
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
    """Writes one file with the records of all. None where one is damaged, or gone: another Archiver is at it."""
    known = set(archive.skipped)
    try:
        batches = list(archive.read_partition(group[0].partition, Span(), only=group))
    except FileNotFoundError:
        return None
    if not known.issuperset(archive.skipped):  # a footer is well and a page is not: everything stays as it is
        return None
    first, last = group[0], max(group, key=lambda file: file.last)
    merged = ArchiveFile(first.partition, first.hour, first.first, last.last)
    return save(archive.store, merged, pa.Table.from_batches(batches))
