"""The progress of long work as a plain line every half a minute, for logs. Never draws a bar, never knows the work."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from deploy.terminal.console import say

EVERY_S = 30.0  # between lines
MARKS = 4  # the rate is over so many lines: the last two minutes


class PlainProgress:
    """A context manager in which a thread writes a line every `every_s`, even when the work reports nothing.

    Work that takes less than that writes nothing. An output that cannot be written to any more is left alone: the work
    goes on. Any thread may report progress; it costs less than a microsecond.
    """

    def __init__(
        self,
        what: str,
        unit: str,
        total: float | None = None,
        *,
        to: TextIO | None = None,
        every_s: float = EVERY_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """what: the work, the line's first word. unit: of the count. total: None: unknown. to: None for stderr."""
        self._what, self._to, self._every_s, self._clock_s = what, to, every_s, clock_s
        self._over, self._thread = threading.Event(), threading.Thread(target=self._run, name="progress", daemon=True)
        self._began_s = clock_s()
        self.stage("", unit, total)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def stage(self, text: str, unit: str = "", total: float | None = None) -> None:
        """Begins another part of the work, which counts from 0. unit: "" where nothing is counted."""
        self._stage, self._unit, self._total, self._done, self._note = text, unit, total, 0.0, ""
        self._stage_s = self._clock_s()
        self._marks: deque[tuple[float, float]] = deque([(self._stage_s, 0.0)], maxlen=MARKS)

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        """Sets how much is done. total: where it is known only now. note: text for the end of the line."""
        self._done, self._note = done, note
        if total is not None:
            self._total = total

    def advance(self, by: float) -> None:
        """Adds to how much is done."""
        self._done += by

    def line(self) -> str:
        """The progress now: part done, rate and time left as far as they are known, and the time so far."""
        now_s, done, total = self._clock_s(), self._done, self._total
        before_s, before = self._marks[0]
        self._marks.append((now_s, done))
        parts = []
        if self._unit:
            rate = (done - before) / (now_s - before_s) if now_s > before_s else 0.0
            share = f" of {total:,.0f} {self._unit} ({_percent(done, total)})" if total else f" {self._unit}"
            parts += [f"{done:,.0f}{share}", f"{_rate(rate)}/s"]
            if total and rate > 0:
                parts.append(f"{spoken(max(total - done, 0) / rate)} left")
        if self._note:
            parts.append(self._note)
        parts.append(f"{spoken(now_s - self._began_s)} so far")
        return ": ".join([self._what, *[self._stage] * bool(self._stage), ", ".join(parts)])

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                say(self.line(), file=self._to or sys.stderr, flush=True)
            except (OSError, ValueError):  # a pipe that nobody reads any more, or a closed file
                return


def spoken(seconds: float) -> str:
    """A duration in words: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def _percent(done: float, total: float) -> str:
    """A percentage, rounded down, so that 100 % is the whole."""
    return f"{int(100 * min(done / total, 1))} %"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
