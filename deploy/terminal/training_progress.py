"""The progress of a training run: bars with rates and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn

from deploy.terminal.console import complain
from deploy.terminal.plain_progress import PlainProgress
from deploy.terminal.progress_bars import Bar

if TYPE_CHECKING:
    from streaming.recorded.replay import Replay


MB = 1e6


class TrainingBar(Bar):
    """A bar for each stage, as a context manager. Never blocks what it shows."""

    def __init__(self, plain: PlainProgress | None = None) -> None:
        """plain: the line that is used without a terminal."""
        self.replay: Replay | None = None  # the recording behind the examples, where its size is known
        columns = (TextColumn("{task.description:<9}"), BarColumn(24), TextColumn("{task.fields[said]}"))
        super().__init__(*columns, TimeElapsedColumn(), plain=plain or PlainProgress("train", ""), transient=False)
        self._stage = ""
        self._terminal = self._progress.console.is_terminal
        self._tasks: dict[str, TaskID] = {}
        self._made_s = time.monotonic()
        self._began: dict[str, float] = {}

    def began(self, stage: str) -> None:
        """Names a stage that begins, at once."""
        if self._terminal:
            self._progress.console.print(stage, markup=False)
        else:
            complain(f"{stage} ...")
            self._stage = stage
            self._plain.stage(stage)

    def passed(self, records: int, examples: int, at_ms: int) -> None:
        """Shows a pass over the event stream, as training/examples/generator.py reports it."""
        rate = records / max(time.monotonic() - self._made_s, 1e-3)
        said = f"{examples:,} of {records:,} records, {rate:,.0f}/s"
        if self.replay is None:
            self._show("examples", "records", done=records, total=None, said=said)
        else:
            self._show("examples", "rows", done=self.replay.rows_played, total=self.replay.rows, said=said)

    def encoded(self, done: int, total: int) -> None:
        """Shows the encoding of texts that no cache has, as training/content/encode_missing.py reports it."""
        began_s = self._began.setdefault("encoding", time.monotonic())
        rate = done / max(time.monotonic() - began_s, 1e-3)
        left = f", {(total - done) / rate:,.0f} s left" if rate else ""
        self._show(
            "encoding", "texts", done=done, total=total, said=f"{done:,} of {total:,} texts, {rate:,.0f}/s{left}"
        )

    def transferred(self, done: int, total: int) -> None:
        """Shows a run on its way to a store or from it, as training/fit/run_store.py reports it."""
        said = f"{done / MB:,.1f} of {total / MB:,.1f} MB"
        self._show("run", "bytes", done=done, total=total, said=said)

    def learned(self, said: Mapping[str, Any]) -> None:
        """Shows the steps of learning, as training/fit/ray_run.py reports them."""
        losses = ", ".join(f"{name} {loss:.3f}" for name, loss in said["losses"].items())
        at = f"{said['phase']} {said['step']}/{said['steps']}: {losses}; {said['per_s']:,.0f} {said['unit']}/s"
        step, steps = int(said["step"]), int(said["steps"])
        self._show("learning", "steps", done=step, total=steps, said=f"{at}, {said['left_s']:,.0f} s left", note=at)

    def _show(self, stage: str, unit: str, *, done: int, total: int | None, said: str, note: str = "") -> None:
        if not self._terminal:
            if stage != self._stage:
                self._stage = stage
                self._plain.stage(stage, unit, total)
            self._plain.update(done, total, note)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, said=said)
        self._progress.update(self._tasks[stage], completed=done if total else 0, total=total, said=said)
