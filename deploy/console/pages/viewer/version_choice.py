"""The field that says by which version a list is ranked. Never asks which there are."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from deploy.console.shown_text import NAME, shown

LIVE, BASELINE = "", "v0"
AS_CALLERS = "as callers get"


class VersionChoice:
    """The field: as every caller gets it, the baseline ranker, or the live version, whatever an experiment says."""

    def __init__(self, chosen: str, changed: Callable[[], None]) -> None:
        """chosen: a version's name, "" for what callers get."""
        self._select = ui.select(_options("", chosen), value=chosen, label="version", on_change=changed)
        self._select.props("dense outlined options-dense").classes("tc-field").mark("version")
        self._live = ""

    @property
    def value(self) -> str:
        """The version that is to rank, as a request names it."""
        return str(self._select.value or LIVE)

    def offer(self, live: str) -> None:
        """Offers the live version by its name. One that was chosen and is live no more stays, and is refused."""
        if live != self._live:
            self._live = live
            self._select.set_options(_options(live, self.value), value=self.value)


def _options(live: str, chosen: str) -> dict[str, str]:
    names = {LIVE: AS_CALLERS, BASELINE: "v0, the baseline"}
    if live and live not in names:
        names[live] = f"{shown(live, NAME)}, live"
    return names | ({} if chosen in names else {chosen: shown(chosen, NAME)})
