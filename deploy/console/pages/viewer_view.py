"""The view Viewer: two lists side by side, of two viewers or by two versions, with their reasons. Never polls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
from nicegui import ui

from actors.requests.context import MAX_RECENT
from deploy.console.api import as_curl
from deploy.console.list_moves import Place, compared, places
from deploy.console.pages.composer import COLD_START
from deploy.console.pages.event_panel import EventPanel
from deploy.console.pages.item_list import ItemList, item_rows, term_colours
from deploy.console.pages.panel import copy_button, panel, quiet_button, skeleton
from deploy.console.pages.score_chart import ScoreChart
from deploy.console.pages.shared import Shared
from deploy.console.pages.similar_rooms import show_similar
from deploy.console.pages.viewer.goal_sliders import GoalSliders
from deploy.console.pages.viewer.rules_panel import RulesPanel
from deploy.console.pages.viewer.version_choice import VersionChoice
from deploy.console.poller import Needs, Snapshot, key, listed
from deploy.console.shown_text import NAME, shown, typed
from streaming.events import MAX_ID_LENGTH, MAX_LABEL_LENGTH, MAX_LANGUAGE_LENGTH
from tidecast_client import Answer, Context, Filters, Goals, Query

LISTED = 20
HOWTO = "Type a viewer's id, one that your platform wrote to viewer-events. Any other gets what a newcomer gets."
STRANGER = "a newcomer: press “was here” on rooms, and see what somebody gets who comes from there"


@dataclass(frozen=True, slots=True)
class Side:
    """Whose list is shown, and by which version; "" for nobody, and for what callers get."""

    viewer: str
    version: str = ""


class ListPanel:
    """One viewer's list, with what it is asked for."""

    def __init__(
        self,
        shared: Shared,
        name: str,
        side: Side,
        *,
        changed: Callable[[], None],
        send: Callable[[str, str], None],
        rule: Callable[[str], None],
        goals: Callable[[], Goals | None],
    ) -> None:
        """send: receives a viewer and a room, of which an event is to be sent. rule: a room, for a rule to be about.

        goals: gives what the list is for.
        """
        self._shared, self._changed, self._send, self._goals = shared, changed, send, goals
        self._recent: list[str] = []  # rooms where a newcomer was, the latest first
        self._excluded: list[str] = []
        self._picked = ""
        self._terms: dict[str, str] = {}
        self._other = ""  # whose list stands beside
        with panel(name) as (self._note, end):
            with end:
                self._curl = copy_button(lambda: as_curl(f"{shared.api.url}/v1/recommend", self.query))
            with ui.element("div").classes("tc-fields"):
                self.viewer = self._field("viewer", side.viewer, MAX_ID_LENGTH)
                self.version = VersionChoice(side.version, changed)
                self._language = self._field("language", "", MAX_LANGUAGE_LENGTH, "any")
                self._category = self._field("category", "", MAX_LABEL_LENGTH, "any")
            with ui.row(wrap=True).classes("items-center"):
                quiet_button("a newcomer", self._newcomer).tooltip(
                    "an id that nobody has: a cold-start viewer, without a profile"
                )
                self._somebody = quiet_button("somebody known", self._next_known)
                self._somebody.tooltip("another viewer of whom the system has heard lately")
                self._same = quiet_button("the same viewer", self._take_other)
                self._same.tooltip("whose list stands beside this one: choose another version, and see what it changes")
                self._left_out = quiet_button("", self._take_back)
                self._came_from = quiet_button("", self._forget_recent)
            self._stranger = ui.label(STRANGER).classes("tc-note")
            self._compared = ui.label().classes("tc-note").mark("compared")
            self._legend = ui.element("div").classes("tc-legend")
            self._wrong = ui.label().classes("tc-why bad tc-text")
            self._howto = ui.label(HOWTO).classes("tc-why")
            self._waiting = skeleton(8)
            self._none = ui.label("No live room matches.").classes("tc-why")
            self._chart = ScoreChart()
            self._items = ItemList(
                {
                    "why": self._pick,
                    "similar": lambda room: show_similar(shared.api, room),
                    "leave": self._leave_out,
                    "send": lambda room: self._send(typed(self.viewer.value), room),
                    "rule": rule,
                    "seen": self._was_in,
                }
            )
        self._mark_left_out()
        self.show(shared.poller.snapshot, None)

    @property
    def query(self) -> Query | None:
        """What is asked for; None while there is no viewer."""
        viewer, language, category = (typed(field.value) for field in (self.viewer, self._language, self._category))
        if not viewer:
            return None
        filters = Filters(language=language or None, category=category or None)
        context = Context(recent=tuple(self._recent)) if self._recent else None
        return Query(
            viewer=viewer,
            limit=LISTED,
            exclude=self._excluded,
            filters=filters,
            context=context,
            goals=self._goals(),
            explain=True,
            shown=False,
            version=self.version.value,
        )

    @property
    def queries(self) -> tuple[Query, ...]:
        """What is asked for, and with goals also the list without them, to see what they move."""
        query = self.query
        if query is None:
            return ()
        return (query,) if query.goals is None else (query, _without_goals(query))

    def answer(self, snapshot: Snapshot) -> Answer | None:
        """The newest answer to what is asked for."""
        return snapshot.answers.get(key(query)) if (query := self.query) is not None else None

    def show(self, snapshot: Snapshot, beside: Answer | None) -> None:
        """Shows the newest answer, and its differences from the list beside it, or with goals from that without."""
        query, answer = self.query, self.answer(snapshot)
        self._other = beside.viewer if beside is not None else ""
        self._same.set_visibility(bool(self._other) and (query is None or query.viewer != self._other))
        if query is not None and query.goals is not None:
            beside = snapshot.answers.get(key(_without_goals(query)))
        self._somebody.set_visibility(bool(snapshot.viewers) and "viewers" not in snapshot.failures)
        self.version.offer("" if snapshot.readiness is None else snapshot.readiness.model_version)
        why = snapshot.failures.get(listed(query), "") if query is not None else ""
        self._curl.set_visibility(query is not None)
        self._howto.set_visibility(query is None)
        self._wrong.set_visibility(bool(why))
        self._wrong.set_text(shown(why, 400))
        self._waiting.set_visibility(query is not None and answer is None and not why)
        self._none.set_visibility(answer is not None and not answer.rooms)
        if answer is None:
            self._note.set_text("")
            self._stranger.set_visibility(False)
            self._compared.set_visibility(False)
            self._chart.show(None)
            self._items.show(())
            return
        kind = "has a profile" if answer.known else "no profile: a cold-start viewer"
        self._stranger.set_visibility(not answer.known and not self._recent)
        self._note.set_text(
            f"{kind}, {len(answer.rooms)} of {answer.live_rooms} rooms, model {shown(answer.model_version, NAME)}"
        )
        self._explain(term_colours(answer.rooms))
        others: Mapping[str, Place] = places(answer.rooms, beside.rooms) if beside is not None else {}
        self._compared.set_visibility(beside is not None)
        self._compared.set_text(compared(others.values()))
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

    def _was_in(self, room: str) -> None:
        """A newcomer was in this room before they came."""
        self._recent = [room, *(one for one in self._recent if one != room)][:MAX_RECENT]
        self._mark_left_out()
        self._changed()

    def _forget_recent(self) -> None:
        self._recent = []
        self._mark_left_out()
        self._changed()

    def _newcomer(self) -> None:
        self._recent = []
        self._mark_left_out()
        self.viewer.set_value(COLD_START)

    def _next_known(self) -> None:
        """Shows the next of the viewers whom the system has heard of lately."""
        known = list(self._shared.poller.snapshot.viewers or ())
        now = typed(self.viewer.value)
        at = known.index(now) + 1 if now in known else 0
        if known:
            self.viewer.set_value(known[at % len(known)])

    def _take_other(self) -> None:
        self.viewer.set_value(self._other)

    def _mark_left_out(self) -> None:
        rooms = f"{len(self._recent)} room{'s' if len(self._recent) > 1 else ''}"
        self._came_from.set_text(f"comes from {rooms}: forget")
        self._came_from.set_visibility(bool(self._recent))
        self._left_out.set_text(f"{len(self._excluded)} left out: take back")
        self._left_out.set_visibility(bool(self._excluded))


def _without_goals(query: Query) -> Query:
    return msgspec.structs.replace(query, goals=None)


class ViewerView:
    """Two lists side by side; the second may be empty."""

    def __init__(self, shared: Shared, a: Side, b: Side, looked_at: Callable[[Sequence[str]], None]) -> None:
        """looked_at: receives the ids whenever they change."""
        self._shared, self._looked_at = shared, looked_at
        self._panels: list[ListPanel] = []
        self._awaited = not a.viewer  # whether the first known viewer is to be shown
        with ui.element("div").classes("tc-page two"):
            with ui.element("div").classes("tc-wide"):
                self._event = EventPanel(shared, lambda: self.needs.queries)
            with ui.element("div").classes("tc-wide"):
                self._goals = GoalSliders(self._changed)
            with ui.element("div").classes("tc-wide"):
                self._rules = RulesPanel(shared, lambda: self.needs.queries)
            self._panels = [
                ListPanel(
                    shared,
                    name,
                    side,
                    changed=self._changed,
                    send=self._event.choose,
                    rule=self._rules.choose,
                    goals=lambda: self._goals.goals,
                )
                for name, side in (("Viewer", a), ("Beside", b))
            ]
        self._looked_at(self.viewers)

    @property
    def viewers(self) -> list[str]:
        """The ids that are shown."""
        return [query.viewer for one in self._panels if (query := one.query) is not None]

    @property
    def needs(self) -> Needs:
        """The lists that are shown."""
        queries = tuple(query for one in self._panels for query in one.queries)
        return Needs(queries=queries, viewers=True, rules=True)

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest answers."""
        first, second = self._panels
        if self._awaited and (snapshot.viewers is not None or "viewers" in snapshot.failures):
            self._awaited = False
            if not typed(first.viewer.value):
                first.viewer.set_value(next(iter(snapshot.viewers or ()), COLD_START))
        self._event.offer(snapshot.chat_refusal)
        self._rules.show(snapshot)
        for name in self.viewers[:1]:
            self._event.suggest(name)
        here, there = first.answer(snapshot), second.answer(snapshot)
        first.show(snapshot, there)
        second.show(snapshot, here)
        self._goals.show([answer for answer in (here, there) if answer is not None])

    def focus(self) -> None:
        """Puts the cursor where one types."""
        self._panels[0].viewer.run_method("focus")

    def _changed(self) -> None:
        if len(self._panels) < 2:
            return  # being made
        (a, by_a), (b, by_b) = ((typed(one.viewer.value), one.version.value) for one in self._panels)
        versions = {name: version for name, version in (("va", by_a), ("vb", by_b)) if version}
        ui.navigate.history.replace(f"/viewer?{urlencode({'a': a, 'b': b} | versions)}")
        self._looked_at(self.viewers)
        self.show(self._shared.poller.snapshot)
        self._shared.poller.wake()
