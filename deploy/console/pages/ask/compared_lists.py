"""Two lists of one viewer side by side, without and with a steer, and what the steer has done. Never polls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from deploy.console.api import as_curl
from deploy.console.ask.advice import advice
from deploy.console.ask.asked import Asked
from deploy.console.ask.steer_effect import Compared, Effect, effect, what_a_pull_is, what_does_not_count
from deploy.console.ask.unhurried import Landed
from deploy.console.pages.ask.room_cards import CARD, plain_cards, steered_cards
from deploy.console.pages.item_list import ItemList
from deploy.console.pages.panel import copy_button, panel, skeleton
from deploy.console.pages.score_chart import ScoreChart
from deploy.console.pages.shared import Shared
from deploy.console.shown_text import NAME, shown
from tidecast_client import Answer

HOWTO = "Give a text, or press “like” or “dislike” on rooms: here is the list with it, and how far each room moves."
NOBODY = "Type a viewer's id above."
LATE = "waits for the Encoder …"


class PlainList:
    """The list without the steer. on: what receives a room, by the button that was pressed."""

    def __init__(self, shared: Shared, asked: Callable[[], Asked], on: Mapping[str, Callable[[str], Any]]) -> None:
        with panel("Without the steer") as (self._note, end):
            with end:
                self._curl = copy_button(lambda: as_curl(f"{shared.api.url}/v1/recommend", asked().plain))
            self._nobody = ui.label(NOBODY).classes("tc-why")
            self._wrong = ui.label().classes("tc-why bad tc-text").props("role=status")
            self._none = ui.label("No room is live.").classes("tc-why")
            self._waiting = skeleton(8)
            self._cards = ItemList(on, CARD)

    def show(
        self, asked: Asked, answer: Answer | None, why: str, made: Effect | None, chosen: Mapping[str, bool]
    ) -> None:
        """Shows the list. why: it could not be had, "" where it could. made: by the steer, where one is known."""
        for element, visible in (
            (self._curl, bool(asked.viewer)),
            (self._nobody, not asked.viewer),
            (self._wrong, bool(why)),
            (self._none, answer is not None and not answer.rooms),
            (self._waiting, bool(asked.viewer) and answer is None and not why),
        ):
            element.set_visibility(visible)
        self._wrong.set_text(shown(why, 500))
        if answer is None:
            self._note.set_text("")
            self._cards.show(())
            return
        kind = "has a profile" if answer.known else "no profile: a cold-start viewer"
        self._note.set_text(f"{kind}, model {shown(answer.model_version, NAME)}")
        self._cards.show(plain_cards(answer, made, chosen))


class SteeredList:
    """The list with the steer. on: what receives a room, by the button that was pressed; "why" is its own."""

    def __init__(self, shared: Shared, asked: Callable[[], Asked], on: Mapping[str, Callable[[str], Any]]) -> None:
        self._picked = ""
        self._awaited = self._waits = False  # what is shown answers something else; another answer is on its way
        self._shown: tuple[Compared, Effect, Mapping[str, bool]] | None = None
        with panel("With the steer") as (self._note, end):
            with end:
                self._curl = copy_button(lambda: as_curl(f"{shared.api.url}/v1/recommend", asked().steered))
            self._howto = ui.label(HOWTO).classes("tc-note")
            self._wrong = ui.label().classes("tc-why bad tc-text").props("role=status")
            self._doubts = ui.label().classes("tc-why tc-text").props("role=status")
            self._pull = ui.label().classes("tc-note")
            self._waiting = skeleton(8)
            self._chart = ScoreChart()
            self._cards = ItemList({**on, "why": self._pick}, CARD)

    def show(self, asked: Asked, landed: Landed[Compared], made: Effect | None, chosen: Mapping[str, bool]) -> None:
        """Shows the list; until it is there the one before, and that it is. made: the effect of what has landed."""
        steers, error = asked.steered is not None, landed.error
        if not steers:
            self._shown = None
        elif landed.answer is not None and made is not None:
            self._shown = landed.answer, made, chosen
        self._awaited = awaited = steers and landed.answer is None
        for element, visible in (
            (self._curl, steers),
            (self._howto, not steers),
            (self._wrong, steers and error is not None),
            (self._waiting, awaited and error is None and self._shown is None),
        ):
            element.set_visibility(visible)
        self._wrong.set_text("" if error is None else shown(advice("comparison of lists", error), 500))
        self._waits = awaited and error is None
        self._draw()

    def _draw(self) -> None:
        waits = self._waits
        if self._shown is None:
            self._note.set_text(LATE if waits else "")
            self._doubts.set_visibility(False)
            self._pull.set_visibility(False)
            self._chart.show(None)
            self._cards.show(())
            return
        compared, made, chosen = self._shown
        doubts = what_does_not_count(compared.steered)
        self._note.set_text(LATE if waits else made.words)
        self._doubts.set_visibility(bool(doubts))
        self._doubts.set_text(" ".join(doubts))
        self._pull.set_visibility(bool(pull := what_a_pull_is(compared.steered)))
        self._pull.set_text(pull)
        self._chart.show(next((item for item in compared.steered.rooms if item.room == self._picked), None))
        self._cards.show(steered_cards(compared, made, chosen, self._picked), awaited=self._awaited)

    def _pick(self, room: str) -> None:
        self._picked = "" if self._picked == room else room
        self._draw()


def effect_of(landed: Landed[Compared]) -> Effect | None:
    """The effect of what has landed, for both lists."""
    return None if landed.answer is None else effect(landed.answer)
