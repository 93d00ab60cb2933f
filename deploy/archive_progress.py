"""Draws how far an Archiver is: a line with rates on a terminal, nothing elsewhere. Never archives."""

from __future__ import annotations

import threading
import time

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from streaming.archive.archiver import Archiver

SHOWN_EVERY_S = 0.5


def show_progress(archiver: Archiver, over: threading.Event) -> None:
    """Until `over`: a line on a terminal; nothing elsewhere."""
    text = (
        "{task.fields[written]:,} archived, {task.fields[waiting]:,} waiting, {task.fields[lag]:,} on the log to read"
    )
    columns = (SpinnerColumn(), TextColumn("archive"), TextColumn(text), TextColumn("{task.fields[rate]:,.0f}/s"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None, written=0, waiting=0, lag=0, rate=0.0)
        before, before_s = 0, time.monotonic()
        rate = 0.0
        while not over.wait(SHOWN_EVERY_S):
            status, now_s = archiver.status(), time.monotonic()
            read = status.records + status.waiting
            rate += 0.3 * ((read - before) / (now_s - before_s) - rate)
            before, before_s = read, now_s
            lag = sum(status.lag.values())
            progress.update(task, written=status.records, waiting=status.waiting, lag=lag, rate=rate)
