"""The view Viewer: the lists of one or two viewers side by side, each room with its reason. Never polls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

from nicegui import ui

from deploy.console.api import as_curl
from deploy.console.list_moves import Place, places
from deploy.console.pages.composer import COLD_START
from deploy.console.pages.item_list import ItemList, item_rows, term_colours
from deploy.console.pages.panel import copy_button, panel, skeleton
from deploy.console.pages.score_chart import ScoreChart
from deploy.console.pages.shared import Shared
from deploy.console.poller import Needs, Snapshot, key, listed
from deploy.console.shown_text import NAME, shown, typed
from streaming.errors import TidecastError
from streaming.events import MAX_ID_LENGTH, MAX_LABEL_LENGTH, MAX_LANGUAGE_LENGTH
from tidecast_client import Answer, Filters, Query

LISTED = 20
SIMILAR = 8
HOWTO = (
    "Type a viewer's id: one that your platform wrote to viewer-events. The demo and `tidecast simulate` have v000000, "
    "v000001 and so on. An id that nobody has gets what a newcomer gets."
)


class ListPanel:
    """One viewer's list, with what it is asked for."""

    def __init__(self, shared: Shared, name: str, viewer: str, changed: Callable[[], None]) -> None:
        self._shared, self._changed = shared, changed
        self._excluded: list[str] = []
        self._picked = ""
        self._terms: dict[str, str] = {}
        with panel(name) as (self._note, end):
            with end:
                self._curl = copy_button(lambda: as_curl(f"{shared.api.url}/v1/recommend", self.query))
            with ui.row(wrap=True).classes("w-full items-center"):
                self.viewer = self._field("viewer", viewer, MAX_ID_LENGTH)
                self._language = self._field("language", "", MAX_LANGUAGE_LENGTH, "any")
                self._category = self._field("category", "", MAX_LABEL_LENGTH, "any")
            with ui.row(wrap=True).classes("items-center"):
                _quiet("a newcomer", lambda: self.viewer.set_value(COLD_START)).tooltip(
                    "an id that nobody has: a cold-start viewer, without a profile"
                )
                self._left_out = _quiet("", self._take_back)
            self._legend = ui.element("div").classes("tc-legend")
            self._wrong = ui.label().classes("tc-why bad tc-text")
            self._howto = ui.label(HOWTO).classes("tc-why")
            self._waiting = skeleton(8)
            self._none = ui.label("No live room matches.").classes("tc-why")
            self._chart = ScoreChart()
            self._items = ItemList(self._pick, self._similar, self._leave_out)
        self._mark_left_out()
        self.show(shared.poller.snapshot, None)

    @property
    def query(self) -> Query | None:
        """What is asked for; None while there is no viewer."""
        viewer, language, category = (typed(field.value) for field in (self.viewer, self._language, self._category))
        if not viewer:
            return None
        filters = Filters(language=language or None, category=category or None)
        return Query(viewer=viewer, limit=LISTED, exclude=self._excluded, filters=filters, explain=True, shown=False)

    def answer(self, snapshot: Snapshot) -> Answer | None:
        """The newest answer to what is asked for."""
        return snapshot.answers.get(key(query)) if (query := self.query) is not None else None

    def show(self, snapshot: Snapshot, beside: Answer | None) -> None:
        """Shows the newest answer, and its differences from the list beside it."""
        query, answer = self.query, self.answer(snapshot)
        why = snapshot.failures.get(listed(query), "") if query is not None else ""
        self._curl.set_visibility(query is not None)
        self._howto.set_visibility(query is None)
        self._wrong.set_visibility(bool(why))
        self._wrong.set_text(shown(why, 400))
        self._waiting.set_visibility(query is not None and answer is None and not why)
        self._none.set_visibility(answer is not None and not answer.rooms)
        if answer is None:
            self._note.set_text("")
            self._chart.show(None)
            self._items.show(())
            return
        kind = "has a profile" if answer.known else "no profile: a cold-start viewer"
        self._note.set_text(
            f"{kind}, {len(answer.rooms)} of {answer.live_rooms} rooms, model {shown(answer.model_version, NAME)}"
        )
        self._explain(term_colours(answer.rooms))
        others: Mapping[str, Place] = places(answer.rooms, beside.rooms) if beside is not None else {}
        self._items.show(item_rows(answer, others, self._picked))
        self._chart.show(next((item for item in answer.rooms if item.room == self._picked), None))

    def _explain(self, terms: dict[str, str]) -> None:
        """Says which colour is which term, anew only where another version answers."""
        if terms == self._terms:
            return
        self._terms = terms
        self._legend.clear()
        with self._legend:
            for name, term_colour in terms.items():
                with ui.element("span"):
                    ui.element("i").style(f"background: {term_colour}")
                    ui.label(shown(name, NAME)).style("display: inline")

    def _field(self, label: str, value: str, longest: int, placeholder: str = "") -> ui.input:
        made = ui.input(label, value=value, placeholder=placeholder, on_change=self._changed)
        return made.props(f"dense outlined debounce=400 maxlength={longest}").classes("tc-field").mark(label)

    def _pick(self, room: str) -> None:
        self._picked = "" if self._picked == room else room
        self._changed()

    def _leave_out(self, room: str) -> None:
        self._excluded = [*self._excluded, room]
        self._mark_left_out()
        self._changed()

    def _take_back(self) -> None:
        self._excluded = []
        self._mark_left_out()
        self._changed()

    def _mark_left_out(self) -> None:
        self._left_out.set_text(f"{len(self._excluded)} left out: take back")
        self._left_out.set_visibility(bool(self._excluded))

    async def _similar(self, room: str) -> None:
        try:
            items = await self._shared.api.similar(room, SIMILAR)
        except TidecastError as err:
            ui.notify(shown(str(err), 300), type="negative", position="top")
            return
        with ui.dialog(value=True) as dialog, ui.element("div").classes("tc-dialog"):
            ui.label(f"Rooms like {shown(room, NAME)}, by what is said in them").classes("tc-title tc-text")
            for item in items:
                ui.label(f"{item.score:.3f}  {shown(item.title)}").classes("tc-text")
            if not items:
                ui.label("None: no chat of this room has been encoded yet.").classes("tc-note")
            _quiet("Close", dialog.close)
        dialog.on("hide", dialog.delete)


def _quiet(text: str, on_click: Callable[[], object]) -> ui.button:
    return ui.button(text, on_click=on_click, color=None).props("flat dense no-caps").classes("tc-quiet")


class ViewerView:
    """Two lists side by side; the second may be empty."""

    def __init__(self, shared: Shared, a: str, b: str, looked_at: Callable[[Sequence[str]], None]) -> None:
        """looked_at: receives the ids whenever they change."""
        self._shared, self._looked_at = shared, looked_at
        self._panels: list[ListPanel] = []
        with ui.element("div").classes("tc-page two"):
            self._panels = [
                ListPanel(shared, name, viewer, self._changed) for name, viewer in (("Viewer", a), ("Beside", b))
            ]
        self._looked_at(self.viewers)

    @property
    def viewers(self) -> list[str]:
        """The ids that are shown."""
        return [query.viewer for one in self._panels if (query := one.query) is not None]

    @property
    def needs(self) -> Needs:
        """The lists that are shown."""
        return Needs(queries=tuple(query for one in self._panels if (query := one.query) is not None))

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest answers."""
        first, second = self._panels
        here, there = first.answer(snapshot), second.answer(snapshot)
        first.show(snapshot, there)
        second.show(snapshot, here)

    def focus(self) -> None:
        """Puts the cursor where one types."""
        self._panels[0].viewer.run_method("focus")

    def _changed(self) -> None:
        if len(self._panels) < 2:
            return  # being made
        a, b = (typed(one.viewer.value) for one in self._panels)
        ui.navigate.history.replace(f"/viewer?{urlencode({'a': a, 'b': b})}")
        self._looked_at(self.viewers)
        self.show(self._shared.poller.snapshot)
        self._shared.poller.wake()
