"""The parts that views are built of: panels, skeletons, tiles, a request to copy. Never holds a view's data."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator

from nicegui import ui

from deploy.console.explanation import duration
from streaming.clock import Clock

SKELETON_LINES = 6
TICK_S = 0.1


@contextlib.contextmanager
def panel(title: str, note: str = "") -> Iterator[tuple[ui.label, ui.element]]:
    """A panel with a heading. Gives the label of its note, and the end of its head, for buttons."""
    with ui.element("section").classes("tc-panel").props(f'aria-label="{title}"'):
        with ui.element("div").classes("tc-head"):
            with ui.element("h2"):
                ui.label(title)
            said = ui.label(note).classes("tc-note")
            end = ui.element("div").classes("tc-end")
        yield said, end


def skeleton(lines: int = SKELETON_LINES) -> ui.element:
    """Grey lines where something is waited for."""
    made = ui.element("div").classes("tc-skeleton").props('role=status aria-label="waiting for the first answer"')
    with made:
        for _ in range(lines):
            ui.skeleton()
    return made


class Tile:
    """A figure with its name and a line below it."""

    def __init__(self, name: str, *, small: bool = False) -> None:
        with ui.element("div").classes("tc-tile"):
            ui.label(name).classes("name")
            self._value = ui.label("–").classes("value small" if small else "value")
            self._under = ui.label(" ").classes("under")

    def set(self, value: str, under: str = "", tone: str = "") -> None:
        """Shows a value. tone: good, warn, bad, or "" for none."""
        self._value.set_text(value)
        self._value.classes(remove="tc-good tc-warn tc-bad", add=f"tc-{tone}" if tone else "")
        self._under.set_text(under or " ")


class StopWatch:
    """Seconds that a label counts while something is waited for, then how long that took, in the colour of its end."""

    def __init__(self, label: ui.label, clock: Clock) -> None:
        self._label, self._clock = label, clock
        self._began_s: float | None = None
        self._tick = ui.timer(TICK_S, self._ticked, active=False)

    @property
    def is_busy(self) -> bool:
        """Whether something is waited for."""
        return self._began_s is not None

    @property
    def is_gone(self) -> bool:
        """Whether the view was left."""
        return self._label.is_deleted

    def begin(self) -> None:
        """Counts from now."""
        self._began_s = self._clock.monotonic_s()
        self._label.classes(remove="done failed", add="running")
        self._tick.activate()

    def stop(self, took_ms: float | None, *, failed: bool) -> None:
        """Shows the end, while what follows it is still waited for. took_ms: None where it did not come."""
        self._tick.deactivate()
        self._label.classes(remove="running", add="failed" if failed else "done")
        if took_ms is not None:
            self._label.set_text(duration(took_ms))

    def end(self) -> None:
        """Waits for nothing more."""
        self._began_s = None
        if not self.is_gone:
            self._tick.deactivate()

    def _ticked(self) -> None:
        if self._began_s is not None:
            self._label.set_text(f"{self._clock.monotonic_s() - self._began_s:.1f} s")


def quiet_button(text: str, on_click: Callable[[], object]) -> ui.button:
    """A button that takes no room and draws no eye."""
    return ui.button(text, on_click=on_click, color=None).props("flat dense no-caps").classes("tc-quiet")


def ask_first(question: str, said: str, do: Callable[[], Awaitable[None]]) -> None:
    """Asks whether something is meant that cannot be taken back, and then does it. said: what will happen."""
    with ui.dialog(value=True) as dialog, ui.element("div").classes("tc-dialog").props(f'aria-label="{question}"'):
        ui.label(question).classes("tc-title tc-text")
        ui.label(said).classes("tc-note")

        async def yes() -> None:
            dialog.close()
            await do()

        with ui.row():
            ui.button("Yes", on_click=yes, color=None).props("unelevated no-caps").classes("tc-main")
            quiet_button("No", dialog.close)
    dialog.on("hide", dialog.delete)


def copy_button(command: Callable[[], str]) -> ui.button:
    """A button that copies what `command` gives, and shows it: a browser may forbid a page to copy."""

    def offer() -> None:
        text = command()
        with ui.dialog(value=True) as dialog, ui.element("div").classes("tc-dialog"):
            ui.label("The same question, for a shell").classes("tc-title")
            with ui.element("code").classes("tc-curl"):
                ui.label(text)
            with ui.row():
                quiet_button("Close", dialog.close)
        dialog.on("hide", dialog.delete)
        ui.clipboard.write(text)
        ui.notify("copied", timeout=1_500, position="top")

    return quiet_button("copy as curl", offer)
