"""The view Ask: rooms by a text, and a viewer's list without and with what pulls it. Never polls."""

from __future__ import annotations

from nicegui import ui

from deploy.console.ask.asked import Asked
from deploy.console.ask.steer_effect import Compared
from deploy.console.ask.unhurried import Landed
from deploy.console.pages.ask.compared_lists import PlainList, SteeredList, effect_of
from deploy.console.pages.ask.search_panel import SearchPanel
from deploy.console.pages.ask.steer_form import SteerForm
from deploy.console.pages.composer import COLD_START
from deploy.console.pages.shared import Shared
from deploy.console.pages.similar_rooms import show_similar
from deploy.console.poller import Needs, Snapshot, key, listed
from tidecast_client import Answer, Query


class AskView:
    """The fields of a steer above two lists, and the search beside them."""

    def __init__(self, shared: Shared, asked: Asked) -> None:
        self._shared = shared
        self._awaited = not asked.viewer  # whether the first known viewer is to be shown
        self._made = False
        self._without: Answer | None = None  # the newest list without the steer, however it came
        with ui.element("div").classes("tc-page with-side tc-ask"):
            with ui.element("div").classes("tc-lists"):
                with ui.element("div").classes("tc-wide"):
                    self._form = SteerForm(asked, self._changed, lambda: shared.poller.snapshot.viewers or ())
                on = {
                    "like": self._form.like,
                    "dislike": self._form.dislike,
                    "similar": lambda room: show_similar(shared.api, room),
                }
                self._plain = PlainList(shared, lambda: self.asked, on)
                self._steered = SteeredList(shared, lambda: self.asked, on)
            with ui.element("div").classes("tc-side"):
                self._search = SearchPanel(shared, asked.search, self._changed, self._form.steer_by, on)
        self._made = True
        self.show(shared.poller.snapshot)

    @property
    def asked(self) -> Asked:
        """What the fields ask."""
        return self._form.asked(self._search.text)

    @property
    def needs(self) -> Needs:
        """Live rooms to choose from, known viewers, and what is asked."""
        asked = self.asked
        plain, steered = asked.plain, asked.steered
        landed = steered is not None and self._landed(steered).answer is not None  # the list without it comes along
        return Needs(
            rooms=True,
            viewers=True,
            queries=() if plain is None or landed else (plain,),
            searches=(asked.search,) if asked.search else (),
            steered=() if steered is None else (steered,),
        )

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest answers."""
        if self._awaited and (snapshot.viewers is not None or "viewers" in snapshot.failures):
            self._awaited = False
            if not self.asked.viewer:
                self._form.viewer.set_value(next(iter(snapshot.viewers or ()), COLD_START))
        asked, chosen = self.asked, self._form.chosen
        plain, steered = asked.plain, asked.steered
        landed = self._landed(steered) if steered is not None else Landed()
        effect = effect_of(landed)
        alone = None if plain is None else snapshot.answers.get(key(plain))
        without = alone if landed.answer is None else landed.answer.without
        if without is None and self._without is not None and self._without.viewer == asked.viewer:
            without = self._without
        self._without = without
        why = "" if plain is None else snapshot.failures.get(listed(plain), "")
        knows = bool(snapshot.viewers) and "viewers" not in snapshot.failures
        self._form.show(snapshot.rooms, steers=steered is not None, knows=knows)
        self._plain.show(asked, without, why, effect, chosen)
        self._steered.show(asked, landed, effect, chosen)
        self._search.show(snapshot.found.get(asked.search, Landed()), chosen)

    def focus(self) -> None:
        """Puts the cursor where one types."""
        self._search.field.run_method("focus")

    def _landed(self, steered: Query) -> Landed[Compared]:
        return self._shared.poller.snapshot.compared.get(key(steered), Landed())

    def _changed(self) -> None:
        if not self._made:
            return
        ui.navigate.history.replace(self.asked.address)
        self.show(self._shared.poller.snapshot)
        self._shared.poller.wake()
