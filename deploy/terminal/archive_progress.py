"""Draws how far an Archiver is: a line with rates on a terminal, a plain line elsewhere. Never archives."""

from __future__ import annotations

import threading
import time

from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.terminal.bar import Bar
from deploy.terminal.plain_progress import PlainProgress
from streaming.archive.archiver import Archiver, ArchiverStatus

SHOWN_EVERY_S = 0.5


class ArchiveProgress(Bar):
    """What is read, written and waits, as a context manager."""

    def __init__(self, *, to_end: bool, plain: PlainProgress | None = None) -> None:
        """to_end: the work is over where the log ends."""
        text = "{task.fields[written]:,} archived, {task.fields[waiting]:,} waiting, {task.fields[lag]:,} on the log"
        columns = (SpinnerColumn(), TextColumn("archive"), TextColumn(text), TextColumn("{task.fields[rate]:,.0f}/s"))
        super().__init__(*columns, TimeElapsedColumn(), plain=plain or PlainProgress("archive run", "records read"))
        self._task = self._progress.add_task("", total=None, written=0, waiting=0, lag=0, rate=0.0)
        self._to_end, self._rate, self._before, self._before_s = to_end, 0.0, 0, time.monotonic()

    def update(self, status: ArchiverStatus) -> None:
        """So far it is now."""
        now_s, read, lag = time.monotonic(), status.records + status.waiting, sum(status.lag.values())
        self._rate += 0.3 * ((read - self._before) / max(now_s - self._before_s, 1e-3) - self._rate)
        self._before, self._before_s = read, now_s
        self._progress.update(self._task, written=status.records, waiting=status.waiting, lag=lag, rate=self._rate)
        note = f"{status.records:,} archived in {status.files:,} files"
        self._plain.update(read, read + lag if self._to_end else None, note if self._to_end else f"{note}, lag {lag:,}")


def show_progress(archiver: Archiver, over: threading.Event, *, to_end: bool) -> None:
    """Until `over`."""
    with ArchiveProgress(to_end=to_end) as progress:
        while not over.wait(SHOWN_EVERY_S):
            progress.update(archiver.status())
