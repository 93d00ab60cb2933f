"""Writes a file and reads it as a recording, for the tests of formats. Never asserts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from streaming.recorded.recording import Kind, Recording

COLUMNS = ("channel", "room", "viewer", "text", "type", "streamer", "title", "action", "seconds", "tags", "mature")


@dataclasses.dataclass(frozen=True)
class Taken:
    """What was read with bad rows left out: the rows by column, which were left out and why, what was remarked."""

    rows: list[dict[str, Any]]
    bad: dict[int, str]
    remarks: dict[str, int]
    format_name: str


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(recording: Recording) -> list[dict[str, Any]]:
    """Every row, without what is None."""
    rows: list[dict[str, Any]] = []
    for batch in recording.batches(COLUMNS):
        columns = {name: column.tolist() if name == "at_ms" else column.to_pylist() for name, column in batch.items()}
        rows += [
            {name: column[at] for name, column in columns.items() if column[at] is not None}
            for at in range(len(batch["at_ms"]))
        ]
    return rows


def read(path: Path, kind: Kind = "chat", **how: Any) -> list[dict[str, Any]]:
    """Strictly: the first row that is bad raises InputFileError."""
    return rows_of(Recording.open(path, kind, **how))


def said(path: Path, **how: Any) -> list[tuple[int, str, str, str]]:
    """Chat: at_ms, channel, viewer, text."""
    return [(row["at_ms"], row["channel"], row["viewer"], row["text"]) for row in read(path, **how)]


def taken(path: Path, kind: Kind = "chat", **how: Any) -> Taken:
    """With bad rows left out."""
    recording = Recording.open(path, kind, **how)
    recording.check(None, skip_bad=True)
    bad = {row: one.kind for row, one in recording.bad.items()}
    return Taken(rows_of(recording), bad, dict(recording.remarks), recording._format.name)
