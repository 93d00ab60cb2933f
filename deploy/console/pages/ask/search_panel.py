"""The box that finds live rooms by a text, and what it finds. Never polls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from actors.requests.asked_text import MAX_ASKED_LENGTH
from deploy.console.api import as_curl, search_url
from deploy.console.ask.advice import advice
from deploy.console.ask.unhurried import Landed
from deploy.console.pages.ask.room_cards import CARD, found_cards
from deploy.console.pages.item_list import ItemList
from deploy.console.pages.panel import copy_button, panel, quiet_button, skeleton
from deploy.console.pages.shared import Shared
from deploy.console.shown_text import shown, typed
from tidecast_client import SearchAnswer

HOWTO = "Say in your own words what rooms should be about. What is said there now counts more than the title."
NONE = "No live room has a vector yet. Health shows what the Encoder does."
LATE = "waits for the Encoder …"


class SearchPanel:
    """The box and its rooms. on: what receives a room, by the button that was pressed."""

    def __init__(
        self,
        shared: Shared,
        text: str,
        changed: Callable[[], None],
        steer_by: Callable[[str], None],
        on: Mapping[str, Callable[[str], Any]],
    ) -> None:
        """steer_by: receives the text, to steer the lists by it."""
        self._found: SearchAnswer | None = None
        with panel("Search") as (self._note, end):
            with end:
                self._curl = copy_button(lambda: as_curl(search_url(shared.api.url, self.text)))
            self.field = ui.input("search", value=text, placeholder="what rooms are about", on_change=changed)
            self.field.props(f"dense outlined clearable debounce=400 maxlength={MAX_ASKED_LENGTH}")
            with ui.element("div"):
                self._steer = quiet_button("steer the list by this text", lambda: steer_by(self.text))
            self._howto = ui.label(HOWTO).classes("tc-note")
            self._wrong = ui.label().classes("tc-why bad tc-text").props("role=status")
            self._none = ui.label(NONE).classes("tc-why")
            self._waiting = skeleton(4)
            self._cards = ItemList(on, CARD)

    @property
    def text(self) -> str:
        """What is searched for."""
        return typed(self.field.value)

    def show(self, landed: Landed[SearchAnswer], chosen: Mapping[str, bool]) -> None:
        """Shows what was found; until then what was found before, and that it was. chosen: rooms that pull."""
        text, error = self.text, landed.error
        if not text:
            self._found = None
        elif landed.answer is not None:
            self._found = landed.answer
        found = self._found
        awaited = bool(text) and landed.answer is None
        for element, visible in (
            (self._curl, bool(text)),
            (self._steer, bool(text)),
            (self._howto, not text),
            (self._wrong, bool(text) and error is not None),
            (self._none, not awaited and found is not None and not found.rooms),
            (self._waiting, awaited and error is None and found is None),
        ):
            element.set_visibility(visible)
        self._wrong.set_text("" if error is None else shown(advice("search", error), 500))
        self._note.set_text(
            LATE if awaited and error is None else "" if found is None else f"the {len(found.rooms)} most like it"
        )
        self._cards.show(() if found is None else found_cards(found, chosen), awaited=awaited)
