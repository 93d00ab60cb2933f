"""The output of `tidecast archive ls`: rows by topic or by hour, and their table. Never changes the archive."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deploy.terminal.columns import Column, table
from deploy.terminal.console import console
from streaming.archive.file import ArchiveFile, hour_name
from streaming.archive.reader import Archive

COLUMNS = (
    Column("topic"),
    Column("partitions", rank=3, right=True),
    Column("from hour", rank=1),
    Column("to hour"),
    Column("files", rank=2, right=True),
    Column("records", right=True),
    Column("MB", right=True),
)
FOOTERS_AT_ONCE = 16  # in an object store each costs a round trip


def rows_of(archive: Archive, topic: str | None) -> list[dict[str, Any]]:
    """One row per topic, or per hour of one topic. The figures leave out files within others, and damaged ones."""
    files = _needed(archive.files(topic))
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        counts = pool.map(archive.num_rows, files)
        counted = [(file, rows) for file, rows in zip(files, counts, strict=True) if rows is not None]

    def group(item: tuple[ArchiveFile, int]) -> Any:
        return item[0].partition.topic if topic is None else item[0].hour

    return [_row(list(items)) for _, items in itertools.groupby(sorted(counted, key=group), group)]


def draw(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows as a table, and their sum."""
    cells = [
        (
            *(row["topic"], str(row["partitions"]), row["from_hour"], row["to_hour"]),
            *(f"{row['files']:,}", f"{row['records']:,}", f"{row['bytes'] / 1e6:,.1f}"),
        )
        for row in rows
    ]
    if len(rows) > 1:
        sums = [sum(row[name] for row in rows) for name in ("files", "records", "bytes")]
        cells.append(("all", "", "", "", f"{sums[0]:,}", f"{sums[1]:,}", f"{sums[2] / 1e6:,.1f}"))
    out = console()
    out.print(table(COLUMNS, cells, out.width))


def _row(items: Sequence[tuple[ArchiveFile, int]]) -> dict[str, Any]:
    files = [file for file, _ in items]
    hours = [file.hour for file in files]
    return {
        "topic": files[0].partition.topic,
        "partitions": len({file.partition for file in files}),
        "from_hour": hour_name(min(hours)),
        "to_hour": hour_name(max(hours)),
        "files": len(files),
        "records": sum(rows for _, rows in items),
        "bytes": sum(file.num_bytes for file in files),
    }


def _needed(files: Iterable[ArchiveFile]) -> list[ArchiveFile]:
    """The files, without those whose range lies within the one before: a crash after a merge leaves them."""
    needed: list[ArchiveFile] = []
    for file in files:
        if not (needed and needed[-1].holds(file)):
            needed.append(file)
    return needed
