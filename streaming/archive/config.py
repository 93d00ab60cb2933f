"""Owns the archive's settings. Never opens anything, and never imports pyarrow: every process reads the settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from streaming.section import Count, CountOrZero, Positive, Section


@dataclass(frozen=True, slots=True)
class ArchiveConfig(Section):
    """Where every topic is kept as Parquet, how often a file is written, and for how long it stays."""

    section: ClassVar[str] = "archive"

    uri: str = ""  # a folder, or file://, s3://, gs://, hdfs://, abfs:// or any URI that fsspec knows; "" keeps nothing
    # a file is written when its oldest record has waited for so long; also what a restart re-reads
    flush_s: Positive = 60.0
    flush_rows: Count = 500_000  # of one partition: it is written sooner when it has so many
    flush_mb: Count = 128  # of all partitions together: the largest are written sooner; bounds the Archiver's memory
    keep_hours: CountOrZero = 720  # hours of log older than this are deleted, 30 days; 0 keeps everything
    compact: bool = True  # the small files of an hour that is over become one per partition
    compact_mb: Count = 32  # of compressed files at most into one: unpacked they are in memory, up to ten times that

    def below(self, folder: Path) -> ArchiveConfig:
        """This, or where the archive is a relative path, the same below a folder."""
        if not self.uri or "://" in self.uri:
            return self
        return replace(self, uri=str(folder / Path(self.uri).expanduser()))
