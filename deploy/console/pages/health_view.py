"""The view Health: freshness, encoder, lag, processes, the model. Never polls, never judges."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nicegui import ui

from deploy.console.api import as_curl
from deploy.console.health import (
    PROMISED_P50_S,
    Reading,
    dead_rooms,
    encoder,
    freshness,
    lag_rows,
    model,
    total_lag,
    trouble_lines,
)
from deploy.console.history import Figures
from deploy.console.pages.panel import Tile, copy_button, panel
from deploy.console.pages.process_panel import ProcessPanel, table
from deploy.console.pages.shared import Shared
from deploy.console.pages.versions_panel import VersionsPanel
from deploy.console.poller import Needs, Snapshot
from deploy.console.shown_text import shown
from deploy.console.theme import axis, chart, colour

LAG = """
<q-tr :props="props"><q-td class="full">{{ props.row.process }}</q-td>
  <q-td class="tc-mono">{{ props.row.topic }}</q-td>
  <q-td><span class="tc-narrow">partitions </span>{{ props.row.partitions }}</q-td>
  <q-td class="tc-num">{{ props.row.lag }}<span class="tc-narrow"> behind</span></q-td></q-tr>
"""
NUMBERS = ("records behind",)
LINES = (("p50", "p50_s"), ("p90", "p90_s"), ("p99", "p99_s"))


class HealthView:
    """Tiles, two charts, three tables."""

    needs = Needs(state=True)

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._drawn_ms = 0
        with ui.element("div").classes("tc-page"):
            self._wrong = ui.label().classes("tc-why bad tc-text")
            self._troubles = ui.element("div").classes("tc-skeleton")
            with ui.element("div").classes("tc-tiles"):
                self._p50, self._p90, self._p99 = (Tile(f"freshness {name}") for name, _ in LINES)
                self._dead, self._encoder, self._model = (
                    Tile("dead rooms returned"),
                    Tile("encoder"),
                    Tile("model", small=True),
                )
                self._lag, self._answers = Tile("lag"), Tile("answers")
            with ui.element("div").classes("tc-page two").style("padding: 0; margin: 0"):
                with panel("Chat to servable", "seconds, of the last minute each") as (_, end):
                    with end:
                        copy_button(lambda: as_curl(f"{shared.api.admin_url}/metrics"))
                    self._freshness = ui.echart(_options([name for name, _ in LINES])).classes("tc-chart")
                with panel("Encoder", "texts a second, and texts that wait") as (_, end):
                    with end:
                        copy_button(lambda: as_curl(f"{shared.api.admin_url}/metrics"))
                    self._load = ui.echart(_options(["encoded/s", "waiting"])).classes("tc-chart")
            self._processes = ProcessPanel(shared)
            self._versions = VersionsPanel(shared)
            with panel("Lag", "records between a reader and the end of a topic") as (_, end):
                with end:
                    copy_button(lambda: as_curl(f"{shared.api.admin_url}/v1/status"))
                self._lags = table(("process", "topic", "partitions", "records behind"), LAG, NUMBERS)
        self._wrong.set_visibility(False)
        self._troubles.set_visibility(False)

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest state."""
        failed = snapshot.failures.get("status") or snapshot.failures.get("metrics") or ""
        self._wrong.set_visibility(bool(failed))
        self._wrong.set_text(shown(f"The admin port gives no state: {failed}", 500))
        if snapshot.status is not None:
            self._processes.show(snapshot.status)
            self._lags.props["rows"] = lag_rows(snapshot.status)
            _set(self._model, model(snapshot.status))
            _set(self._lag, total_lag(snapshot.status))
            troubles = trouble_lines(snapshot.status)
            self._troubles.clear()
            self._troubles.set_visibility(bool(troubles))
            with self._troubles:
                for line in troubles:
                    ui.label(shown(line, 500)).classes("tc-why bad tc-text")
        self._versions.show(snapshot)
        if snapshot.metrics is not None:
            _set(self._dead, dead_rooms(snapshot.metrics))
        figures = self._shared.poller.system.figures
        if figures and figures[-1].at_ms != self._drawn_ms:
            self._drawn_ms = figures[-1].at_ms
            self._draw(figures[-1], list(figures))

    def focus(self) -> None:
        """There is nothing to type."""

    def _draw(self, now: Figures, past: Sequence[Figures]) -> None:
        _set(self._p50, freshness(now.p50_s, PROMISED_P50_S))
        _set(self._p90, freshness(now.p90_s))
        _set(self._p99, freshness(now.p99_s))
        _set(self._encoder, encoder(now))
        _set(self._answers, Reading(f"{now.answers_per_s:.1f}/s", "recommendations, last minute"))
        _plot(self._freshness, past, [[getattr(one, name) for one in past] for _, name in LINES])
        _plot(self._load, past, [[round(one.texts_per_s, 2) for one in past], [one.backlog for one in past]])


def _set(tile: Tile, reading: Reading) -> None:
    tile.set(reading.value, reading.under, reading.tone)


def _options(names: Sequence[str]) -> dict[str, Any]:
    return chart(
        xAxis=axis(type="category", data=[], boundaryGap=False),
        yAxis=axis(type="value", min=0),
        series=[
            {"name": name, "type": "line", "showSymbol": False, "data": [], "color": colour(at)}
            for at, name in enumerate(names)
        ],
        tooltip={"trigger": "axis"},
    )


def _plot(made: ui.echart, past: Sequence[Figures], lines: Sequence[Sequence[float | None]]) -> None:
    made.options["xAxis"]["data"] = [time.strftime("%H:%M:%S", time.localtime(one.at_ms / 1000)) for one in past]
    for series, line in zip(made.options["series"], lines, strict=True):
        series["data"] = [None if value is None else round(value, 3) for value in line]
    made.update()
