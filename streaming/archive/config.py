"""The archive's settings. Never opens anything, and never imports pyarrow: every process reads the settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from streaming.section import Count, CountOrZero, Positive, Section


@dataclass(frozen=True, slots=True)
class ArchiveConfig(Section):
    """The archive's place, how often files are written to it, and how long they are kept."""

    section: ClassVar[str] = "archive"

    uri: str = ""  # a folder, or file://, s3://, gs://, hdfs://, abfs:// or any URI that fsspec knows; "" keeps nothing
    # a file is written when its oldest record has waited for so long; a restart reads as much again
    flush_s: Positive = 60.0
    flush_rows: Count = 500_000  # of one partition: a file is written sooner when it has so many
    flush_mb: Count = 128  # of all partitions together: beyond it the largest are written; bounds the Archiver's memory
    keep_hours: CountOrZero = 720  # files of hours older than this are deleted, 30 days; 0 keeps everything
    compact: bool = True  # merges the small files of a past hour to one per partition
    compact_mb: Count = 32  # of compressed files merged into one at most: in memory up to ten times that

    def below(self, folder: Path) -> ArchiveConfig:
        """These settings, with an archive at a relative path moved below a folder."""
        if not self.uri or "://" in self.uri:
            return self
        return replace(self, uri=str(folder / Path(self.uri).expanduser()))
