"""The check of recorded files for commands, with a report of left-out rows. Never sends or learns from a row."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING

from deploy.terminal.console import complain
from deploy.terminal.progress_bars import CheckProgress

if TYPE_CHECKING:
    from streaming.recorded.formats.format import BadRow
    from streaming.recorded.recording import Check, Recording


def check_recording(file: Recording, check: Check | None, *, skip_bad: bool) -> None:
    """Reads every row and reports those that are left out. Raises InputFileError: a bad row that is not left out."""
    with CheckProgress(f"checking {file.path.name}") as bar:
        file.check(check, skip_bad=skip_bad, progress=bar.update)
    for said in remarks(file):
        complain(f"tidecast: {file.path}: {said}")


def remarks(file: Recording) -> list[str]:
    """Remarks on a checked file: a line for each kind of row that was left out."""
    first: dict[str, BadRow] = {}
    for one in sorted(file.bad.values(), key=attrgetter("row")):
        first.setdefault(one.kind, one)
    counted = Counter(one.kind for one in file.bad.values())
    sorts = sorted(first.values(), key=lambda one: (-counted[one.kind], one.row))
    bad = [f"left out {counted[one.kind]:,} bad: {one.kind}; the first is row {one.row}: {one.reason}" for one in sorts]
    return [*bad, *(f"{what}: {n:,}" for what, n in file.remarks.most_common())]
