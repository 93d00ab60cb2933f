"""Merges small files of hours that are over and deletes hours that are too old. Never loses a record to a crash.

A merged file is complete before the first file that it replaces is deleted. Until the last of them is gone, readers see
that they lie within it. Old hours are deleted oldest file first. A partition's newest file stays: it has the position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from streaming.archive.config import ArchiveConfig
from streaming.archive.file import ArchiveFile, by_partition
from streaming.archive.parquet import save
from streaming.archive.reader import Archive, TimeRange
from streaming.log.topics import HOUR_MS
from streaming.metrics import Metrics

SETTLED_MS = 300_000  # until an hour's last files are written: longer than flush_s, and than an outage


@dataclass(frozen=True, slots=True)
class Step:
    """One step of upkeep: `file` was merged from, or deleted as, `num_files` files of `num_bytes`."""

    action: Literal["merged", "deleted"]
    file: ArchiveFile
    num_files: int
    num_bytes: int


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
