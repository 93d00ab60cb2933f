"""One browser tab: its header, its view, its theme and its keys. A watcher of the poller. Never asks the API."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from fastapi import Request
from nicegui import events, ui

from actors.requests.steer import MOST_STRENGTH
from deploy.console.ask.asked import PATH, asked_of
from deploy.console.pages.ask.ask_view import AskView
from deploy.console.pages.composer import COLD_START
from deploy.console.pages.health_view import HealthView
from deploy.console.pages.live_view import LiveView
from deploy.console.pages.map_view import MapView
from deploy.console.pages.shared import Shared
from deploy.console.pages.viewer_view import Side, ViewerView
from deploy.console.poller import Needs, Snapshot
from deploy.console.shown_text import NAME, shown
from deploy.console.theme import COOKIE, ICONS, LOGO, THEMES

VIEWS: Mapping[str, str] = MappingProxyType(
    {"/": "Live", "/viewer": "Viewer", PATH: "Ask", "/map": "Map", "/health": "Health"}
)
KEYS: Mapping[str, str] = MappingProxyType(
    {str(at): name for at, name in enumerate(VIEWS.values(), 1)}
    | {"/": "where one types", "t": "another theme", "?": "these keys"}
)
TONES = {
    "current": "good",
    "behind": "warn",
    "troubled": "bad",
    "out of touch": "warn",
    "lost": "bad",
    "reading": "warn",
}
FRESH_MS = 3_000  # an older snapshot is not shown to a tab that opens: it would pass for now
# A tab that nobody sees is not served. The only script of ours.
SEEN = "document.addEventListener('visibilitychange', () => emitEvent('seen', !document.hidden))"


GOES_ON = "The console keeps asking, and goes on by itself once the system answers."


class View(Protocol):
    """What fills a tab."""

    @property
    def needs(self) -> Needs:
        """What it shows, and so what is polled."""

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest answers."""

    def focus(self) -> None:
        """Puts the cursor where one types."""


class Tab:
    """A tab. Made when its page is asked for; gone when its client is deleted."""

    def __init__(self, shared: Shared, request: Request) -> None:
        self._shared = shared
        self._client = ui.context.client
        self._seen = True
        self._view: View | None = None
        self._viewers: list[str] = list(shared.viewers)
        chosen = request.cookies.get(COOKIE, "auto")
        self._theme = chosen if chosen in THEMES else "auto"
        self._dark = ui.dark_mode(THEMES[self._theme])
        ui.add_body_html(f"<script>{SEEN}</script>")
        ui.on("seen", self._look)
        ui.keyboard(self._key)
        self._header()
        self._main = ui.element("div").classes("tc-views")
        with self._main:
            ui.sub_pages(
                {
                    "/": self._live,
                    "/viewer": self._viewer,
                    PATH: self._ask,
                    "/map": self._map,
                    "/health": self._health,
                }
            )
        self._client.on_connect(shared.poller.wake)
        shared.poller.watch(self)

    @property
    def gone(self) -> bool:
        """Whether it was closed."""
        return self._client.is_deleted

    @property
    def looks(self) -> bool:
        """Whether anybody can see it now."""
        return self._seen and self._client.has_socket_connection

    @property
    def needs(self) -> Needs:
        """What its view shows."""
        return self._view.needs if self._view is not None else Needs()

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest answers, and in the header whether they are good."""
        ready, failures = snapshot.readiness, snapshot.failures
        silent = failures.get("readiness", "")
        unready = "" if ready is None or ready.ready else f"not ready: {ready.reason}"
        wrong = silent or unready or failures.get("rooms", "")
        self._banner.set_visibility(bool(wrong))
        self._main.classes(add="stale" if wrong else "", remove="" if wrong else "stale")
        if wrong:
            self._wrong.set_text(shown(wrong, 400))
            self._kept.set_text(f"{_as_of(snapshot.answered_at_ms)}{GOES_ON}")
        state = "no answer" if silent else ready.state if ready is not None else "…"
        self._chip.set_text(state)
        self._chip.classes(remove="good warn bad", add="bad" if silent else TONES.get(state, ""))
        if ready is not None:
            self._live_rooms.set_text(f"{ready.live_rooms:,} live")
            self._model.set_text(f"model {shown(ready.model_version, NAME)}")
        if self._view is not None:
            self._view.show(snapshot)

    def _header(self) -> None:
        with ui.header(elevated=False).classes("tc-header"):
            with ui.element("a").classes("tc-brand").props('href="/"'):
                ui.html(LOGO, sanitize=False)
                ui.label("Tidecast console")
            with ui.element("nav").classes("tc-nav").props('aria-label="views"'):
                self._links = {path: ui.link(name, path) for path, name in VIEWS.items()}
            with ui.element("div").classes("tc-state").props("aria-live=polite"):
                self._live_rooms = ui.label("").classes("wide")
                self._model = ui.label("").classes("wide")
                self._chip = ui.label("…").classes("tc-chip")
                self._theme_button = ui.button(icon=ICONS[self._theme], on_click=self._next_theme, color=None)
                self._theme_button.props(f'flat dense round size=sm aria-label="theme: {self._theme}"')
                ui.button(icon="keyboard", on_click=self._help, color=None).props(
                    'flat dense round size=sm aria-label="keys"'
                )
        self._banner = ui.element("div").classes("tc-banner").props("role=alert")
        with self._banner:
            self._wrong = ui.label().classes("tc-text")
            self._kept = ui.label().classes("tc-note")
        self._banner.set_visibility(False)

    def _live(self) -> None:
        self._open("/", LiveView(self._shared, lambda: self._viewers))

    def _viewer(self, a: str = "", b: str = "", va: str = "", vb: str = "") -> None:
        if not a and not b:
            a, b = [*self._viewers, *([COLD_START, ""] if self._viewers else ["", COLD_START])][:2]
        self._open("/viewer", ViewerView(self._shared, Side(a, va), Side(b, vb), self._looked_at))

    def _ask(
        self,
        *,
        q: str = "",
        viewer: str = "",
        text: str = "",
        liked: str = "",
        disliked: str = "",
        strength: str = "",
    ) -> None:
        viewer = viewer or next(iter(self._viewers), "")
        asked = asked_of(
            q=q, viewer=viewer, text=text, liked=liked, disliked=disliked, strength=strength, most=MOST_STRENGTH
        )
        self._open(PATH, AskView(self._shared, asked))

    def _map(self) -> None:
        self._open("/map", MapView(self._shared))

    def _health(self) -> None:
        self._open("/health", HealthView(self._shared))

    def _open(self, path: str, view: View) -> None:
        self._view = view
        for other, link in self._links.items():
            link.classes(add="here" if other == path else "", remove="" if other == path else "here")
            link.props(f"aria-current={'page' if other == path else 'false'}")
        ui.page_title(f"{VIEWS[path]} · Tidecast console")
        poller = self._shared.poller
        if self._shared.clock.now_ms() - poller.snapshot.at_ms < FRESH_MS:
            poller.tell(self)
        poller.wake()

    def _looked_at(self, viewers: Sequence[str]) -> None:
        self._viewers = list(viewers)

    def _look(self, event: events.GenericEventArguments) -> None:
        self._seen = bool(event.args)
        if self._seen:
            self._shared.poller.wake()

    def _key(self, event: events.KeyEventArguments) -> None:
        held = event.modifiers
        if not event.action.keydown or event.action.repeat or held.ctrl or held.alt or held.meta:
            return
        name = event.key.name
        if name.isdigit() and 0 < int(name) <= len(VIEWS):
            ui.navigate.to(list(VIEWS)[int(name) - 1])
        elif name == "/" and self._view is not None:
            self._view.focus()
        elif name == "t":
            self._next_theme()
        elif name == "?":
            self._help()

    def _next_theme(self) -> None:
        names = list(THEMES)
        self._theme = names[(names.index(self._theme) + 1) % len(names)]
        self._dark.set_value(THEMES[self._theme])
        self._theme_button.set_icon(ICONS[self._theme])
        self._theme_button.props(f'aria-label="theme: {self._theme}"')
        ui.run_javascript(f"document.cookie = '{COOKIE}={self._theme}; path=/; max-age=31536000; samesite=strict'")

    def _help(self) -> None:
        with ui.dialog(value=True) as dialog, ui.element("div").classes("tc-dialog"):
            ui.label("Keys").classes("tc-title")
            with ui.element("div").classes("tc-keys"):
                for name, does in KEYS.items():
                    with ui.element("kbd"):
                        ui.label(name)
                    ui.label(does)
            ui.button("Close", on_click=dialog.close, color=None).props("flat dense no-caps").classes("tc-quiet")
        dialog.on("hide", dialog.delete)


def _as_of(at_ms: int) -> str:
    """Of when what still stands on the page is; "" where there was no answer yet."""
    return time.strftime("What stands below is of %H:%M:%S. ", time.localtime(at_ms / 1000)) if at_ms else ""
