"""Progress bars on stderr for long work: playing, encoding, evaluating, checking, archiving. Never do the work.

A bar disappears in the end. Where stderr is no terminal, a plain line every half a minute takes its place.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from deploy.terminal.console import console, one_line
from deploy.terminal.plain_progress import EVERY_S, PlainProgress

if TYPE_CHECKING:
    from streaming.archive.archiver import Archiver, ArchiverStatus
    from streaming.recorded.playback import Played


class Rate(ProgressColumn):
    """A column with the rate per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} {self._unit}/s")


class Bar:
    """A progress bar as a context manager; without a terminal, the plain line."""

    def __init__(self, *columns: ProgressColumn, plain: PlainProgress, transient: bool = True) -> None:
        """plain: the progress in words; whoever moves the bar moves it too. transient: the bar is gone in the end."""
        self._progress = Progress(*columns, console=console(stderr=True), transient=transient)
        self._plain = plain

    def __enter__(self) -> Self:
        if self._progress.console.is_terminal:
            self._progress.start()
        else:
            self._plain.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress.console.is_terminal:
            self._progress.stop()
        else:
            self._plain.__exit__(kind, error, trace)


def counted(unit: str) -> tuple[ProgressColumn, ...]:
    """Columns for a count up to a known number: text, bar, count, rate, time."""
    return (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(unit), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip


class PlayProgress(Bar):
    """The progress of a replay, as a context manager."""

    def __init__(self, what: str, unit: str, total: float | None) -> None:
        """unit: of `done`. total: None where the end is not known."""
        columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()] if total is not None else []
        left = [TextColumn("left"), TimeRemainingColumn()] if total is not None else []
        rates = TextColumn("{task.fields[events]:,} events  {task.fields[rate]:,.0f}/s{task.fields[late]}")
        super().__init__(
            TextColumn("" if total is not None else "{task.description}"),
            *columns,
            rates,
            TimeElapsedColumn(),
            *left,
            plain=PlainProgress(what, unit, total),
        )
        self._task = self._progress.add_task(what, total=total, events=0, rate=0.0, late="")

    def update(self, done: float, played: Played) -> None:
        """Shows that `done` of `total` is done, and how many events were played."""
        late = f"  {played.behind_s:.1f} s behind" if played.behind_s > 1 else ""
        self._plain.update(done, note=f"{played.events:,} events{late.replace('  ', ', ')}")
        rate = played.events / played.elapsed_s if played.elapsed_s > 0 else 0.0
        self._progress.update(self._task, completed=done, events=played.events, rate=rate, late=late)

    def note(self, text: str) -> None:
        """Prints a line above the bar."""
        self._progress.console.print(Text(one_line(text)), highlight=False)


class EvaluateProgress(Bar):
    """A bar over what each stage counts; other stages are only named before it."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        super().__init__(*counted(""), plain=PlainProgress("evaluate", "", every_s=every_s))
        self._task = self._progress.add_task("", total=None)

    def stage(self, text: str, unit: str = "", total: int | None = None) -> None:
        """Names the stage that begins now, and what it counts, if anything."""
        self._progress.reset(self._task, description=text, total=total)
        self._plain.stage(text, unit, total)

    def done(self, count: int, total: int | None = None) -> None:
        """Shows how much of the stage is done. total: where it is known only now."""
        self._progress.update(self._task, completed=count)
        if total is not None:
            self._progress.update(self._task, total=total)
        self._plain.update(count, total)


class CheckProgress(Bar):
    """The number of rows read so far, as a context manager. The total is not known before."""

    def __init__(self, what: str) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            TextColumn("{task.completed:,.0f} rows"),
            Rate("rows"),
            TimeElapsedColumn(),
            plain=PlainProgress(what, "rows"),
        )
        self._task = self._progress.add_task(what, total=None)

    def update(self, rows: int) -> None:
        """Shows the number of rows read."""
        self._progress.update(self._task, completed=rows)
        self._plain.update(rows)


SHOWN_EVERY_S = 0.5


class ArchiveProgress(Bar):
    """The progress of archiving, as a context manager: records read, written and waiting."""

    def __init__(self, *, to_end: bool, plain: PlainProgress | None = None) -> None:
        """to_end: the work ends at the end of the log."""
        text = "{task.fields[written]:,} archived, {task.fields[waiting]:,} waiting, {task.fields[lag]:,} on the log"
        columns = (SpinnerColumn(), TextColumn("archive"), TextColumn(text), TextColumn("{task.fields[rate]:,.0f}/s"))
        super().__init__(*columns, TimeElapsedColumn(), plain=plain or PlainProgress("archive run", "records read"))
        self._task = self._progress.add_task("", total=None, written=0, waiting=0, lag=0, rate=0.0)
        self._to_end, self._rate, self._before, self._before_s = to_end, 0.0, 0, time.monotonic()

    def update(self, status: ArchiverStatus) -> None:
        """Shows a status of the Archiver."""
        now_s, read, lag = time.monotonic(), status.records + status.waiting, sum(status.lag.values())
        self._rate += 0.3 * ((read - self._before) / max(now_s - self._before_s, 1e-3) - self._rate)
        self._before, self._before_s = read, now_s
        self._progress.update(self._task, written=status.records, waiting=status.waiting, lag=lag, rate=self._rate)
        note = f"{status.records:,} archived in {status.files:,} files"
        self._plain.update(read, read + lag if self._to_end else None, note if self._to_end else f"{note}, lag {lag:,}")


def show_progress(archiver: Archiver, over: threading.Event, *, to_end: bool) -> None:
    """Shows the progress of archiving until `over`. Blocks."""
    with ArchiveProgress(to_end=to_end) as progress:
        while not over.wait(SHOWN_EVERY_S):
            progress.update(archiver.status())
