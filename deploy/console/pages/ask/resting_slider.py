"""A slider with its name and its value, that reports once it rests. Never asks anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nicegui import events, ui

RESTS_S = 0.4  # as long as the fields of the console wait for the next letter
EVERY_S = 0.1  # the value beside a slider that is being moved


class RestingSlider:
    """A weight from 0 to `top`. rested: called RESTS_S after it was last moved.

    The browser's own slider: Quasar's puts the focus on a part of it that has neither role nor name.
    """

    def __init__(
        self, name: str, said: str, *, value: float, top: float, step: float, rested: Callable[[], None]
    ) -> None:
        self.value = value
        self._rested = rested
        self._due: asyncio.TimerHandle | None = None
        with ui.element("div").classes("tc-weight") as self._box:
            with ui.element("div").classes("tc-weight-name"):
                ui.label(name)
                self._said = ui.label(f"{value:g}").classes("tc-weight-value")
            self._input = ui.element("input")
            self._input.props(f'type=range min=0 max={top:g} step={step:g} aria-label="{name}"')
            self._input.props["^value"] = f"{value:g}"  # the attribute: the property would go back at each update
            self._input.on("input", self._moved, js_handler="event => emit(event.target.value)", throttle=EVERY_S)
            ui.label(said).classes("tc-note")

    def put(self, value: float) -> None:
        """Moves it; whoever does so knows, and nothing is reported."""
        self._forget()
        self._take(value)
        ui.run_javascript(f"document.getElementById('{self._input.html_id}').value = {value:g}")

    def _moved(self, event: events.GenericEventArguments) -> None:
        self._take(float(event.args))
        self._forget()
        self._due = asyncio.get_running_loop().call_later(RESTS_S, self._report)

    def _take(self, value: float) -> None:
        self.value = value
        self._said.set_text(f"{value:g}")

    def _forget(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _report(self) -> None:
        if not self._box.is_deleted:  # the view was not left meanwhile
            with self._box:
                self._rested()
