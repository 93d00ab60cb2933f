"""The panel with a slider for each goal of the API. Never asks for a list, never has a list of goals of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import ui

from deploy.console.ask.goal_fields import goal_fields
from deploy.console.pages.ask.resting_slider import RestingSlider
from deploy.console.pages.panel import panel, quiet_button
from deploy.console.shown_text import NAME, shown
from tidecast_client import Answer, Goals

TOP, STEP = 10.0, 0.5  # of a weight: only the ratio of the weights counts
AS_CONFIGURED = "as the system is configured, until one is moved"
ASKED_FOR = "▲ ▼ and “only here” below are against the list without goals"


class GoalSliders:
    """The panel. changed: called once sliders rest that were moved, or were reset."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._asked = False
        self._fields = goal_fields()
        with panel("Goals", AS_CONFIGURED) as (self._note, end):
            with end:
                self._reset = quiet_button("reset", self._reset_all)
            with ui.element("div").classes("tc-weights"):
                self._sliders = {
                    field.name: RestingSlider(
                        field.name, field.said, value=field.default, top=TOP, step=STEP, rested=self._moved
                    )
                    for field in self._fields
                }
            self._unused = ui.label().classes("tc-why tc-text").props("role=status")
        self._reset.set_visibility(False)
        self._unused.set_visibility(False)

    @property
    def goals(self) -> Goals | None:
        """What to ask for; None until a slider is moved."""
        return Goals(**{name: slider.value for name, slider in self._sliders.items()}) if self._asked else None

    def show(self, answers: Sequence[Answer]) -> None:
        """Says whether goals count in these answers to what was asked."""
        said = next((said for answer in answers if self._asked and (said := _unused(answer))), "")
        self._unused.set_text(said)
        self._unused.set_visibility(bool(said))

    def _moved(self) -> None:
        self._asks(asked=True)

    def _reset_all(self) -> None:
        for field in self._fields:
            self._sliders[field.name].put(field.default)
        self._asks(asked=False)

    def _asks(self, *, asked: bool) -> None:
        self._asked = asked
        self._reset.set_visibility(asked)
        self._note.set_text(ASKED_FOR if asked else AS_CONFIGURED)
        self._changed()


def _unused(answer: Answer) -> str:
    """Which of the goals do not count in an answer, and why; "" where all do."""
    version = shown(answer.model_version, NAME)
    if answer.goals_used is False:
        return (
            f"Goals have no effect: {version} answers, which says nothing of what follows entering. The list is as "
            "without them. A learned version has goals."
        )
    if answer.goals_ignored:
        return f"Without effect: {', '.join(answer.goals_ignored)}. {version} answers, which has not learned it."
    return ""
