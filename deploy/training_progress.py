"""Draws how far a training is: bars with rates and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 10.0  # where there is no terminal


class TrainingProgress:
    """A bar for each stage, as a context manager. Never blocks what it shows."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:<9}"), BarColumn(24), TextColumn("{task.fields[said]}"))
        self._bars = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=False)
        self._tasks: dict[str, TaskID] = {}
        self._lined_s = 0.0
        self._made_s = time.monotonic()
        self._began: dict[str, float] = {}

    def __enter__(self) -> TrainingProgress:
        if sys.stderr.isatty():
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        """Of a pass over what happened, as training/example_pass.py tells it."""
        rate = records / max(time.monotonic() - self._made_s, 1e-3)
        self._show("examples", None, None, f"{examples:,} of {records:,} records, {rate:,.0f}/s")

    def encoded(self, done: int, total: int) -> None:
        """Of the texts that no cache holds, as training/encode.py tells it."""
        began_s = self._began.setdefault("encoding", time.monotonic())
        rate = done / max(time.monotonic() - began_s, 1e-3)
        left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        self._show("encoding", done, total, f"{done:,} of {total:,} texts, {rate:,.0f}/s{left}")

    def learned(self, said: Mapping[str, Any]) -> None:
        """Of the steps, as training/fit.py tells it."""
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in said["losses"].items())
        self._show(
            "learning",
            int(said["step"]),
            int(said["steps"]),
            f"{said['phase']} {said['step']}/{said['steps']}: {losses}; {said['slates_per_s']:,.0f} visits/s, "
            f"{said['left_s']:,.0f} s left",
        )

    def _show(self, stage: str, done: int | None, total: int | None, said: str) -> None:
        if not sys.stderr.isatty():
            now_s = time.monotonic()
            if now_s - self._lined_s >= LINE_EVERY_S or (done is not None and done == total):
                self._lined_s = now_s
                sys.stderr.write(f"{stage}: {said}\n")
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, said=said)
        self._bars.update(self._tasks[stage], completed=done or 0, total=total, said=said)
