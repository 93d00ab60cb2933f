"""The picture of one item's score: a waterfall of terms that add up, else bars of figures. Never computes them."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from deploy.console.explanation import Step, waterfall
from deploy.console.pages.item_list import term_colours
from deploy.console.shown_text import NAME, shown
from deploy.console.theme import GREY, axis, chart
from tidecast_client import Item

SCORE = "score"
FALL = "#b3261e"
BAR_PX, FRAME_PX = 24, 40
ADDS_UP = "The score is the sum of these terms."
FIGURES = "A learned version's figures: the score is not their sum."


def score_options(item: Item) -> dict[str, Any]:
    """The options of ECharts for an item."""
    why = waterfall(item)
    steps = [step for step in why.steps if step.value or not why.adds_up]
    if why.adds_up:
        steps.append(Step(SCORE, item.score, min(0.0, item.score), max(0.0, item.score)))
    colours = {**term_colours([item]), SCORE: GREY}
    lows = {"type": "bar", "stack": "score", "silent": True, "itemStyle": {"color": "transparent"}}
    bars = {
        "type": "bar",
        "stack": "score",
        "barWidth": "62%",
        "label": {"show": True, "position": "right", "color": GREY},
    }
    return chart(
        grid={"left": 8, "right": 46, "top": 4, "bottom": 4, "containLabel": True},
        xAxis=axis(type="value", axisLabel={"show": False}),
        yAxis=axis(type="category", data=[shown(s.name, NAME) for s in steps], inverse=True, axisTick={"show": False}),
        series=[
            {**lows, "data": [step.low for step in steps]},
            {**bars, "data": [_bar(step, colours[step.name], signed=why.adds_up) for step in steps]},
        ],
    )


def _bar(step: Step, own_colour: str, *, signed: bool) -> dict[str, Any]:
    text = f"{step.value:+.3f}" if signed and step.name != SCORE else f"{step.value:.3f}"
    style = {"color": own_colour if step.value >= 0 else FALL, "borderRadius": 2}
    return {"value": round(step.high - step.low, 4), "itemStyle": style, "label": {"formatter": text}}


class ScoreChart:
    """The chart, with the name of the room above it. Hidden until an item is chosen."""

    def __init__(self) -> None:
        self._box = ui.element("div")
        with self._box:
            self._title = ui.label().classes("tc-title tc-text")
            self._said = ui.label().classes("tc-note")
            self._chart = ui.echart({}).classes("tc-chart")
        self._box.set_visibility(False)
        self._shown: tuple[str, float] | None = None

    def show(self, item: Item | None) -> None:
        """Shows an item's score; None: nothing."""
        self._box.set_visibility(item is not None)
        if item is None or self._shown == (item.room, item.score):
            return
        self._shown = (item.room, item.score)
        why = waterfall(item)
        self._title.set_text(f"why {shown(item.title) or shown(item.room, NAME)}")
        self._said.set_text((ADDS_UP if why.adds_up else FIGURES) if why.steps else "The answer explains nothing.")
        options = score_options(item)
        self._chart.style(f"height: {FRAME_PX + BAR_PX * max(1, len(options['yAxis']['data']))}px")
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()
