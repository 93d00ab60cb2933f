"""The panel of operators' rules: what is in force, a form that puts one, a button that ends one. Never polls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

from nicegui import background_tasks, events, ui

from deploy.console.api import RULES_PATH, as_curl
from deploy.console.explanation import duration
from deploy.console.following.rule_change import Effect, RuleStep, delete, put
from deploy.console.pages.panel import StopWatch, ask_first, copy_button, panel, quiet_button, skeleton
from deploy.console.pages.shared import Shared
from deploy.console.poller import Snapshot
from deploy.console.rules.rule_rows import heading, rule_rows
from deploy.console.rules.typed_rule import ACTIONS, ENDS_S, LISTS, SOON, WEIGHED, Kind, RuleAction, TypedRule
from deploy.console.shown_text import NAME, shown, typed
from streaming.operator_rule import MAX_NAME_LENGTH, MAX_POSITION, MAX_REASON_LENGTH, MAX_WEIGHT
from tidecast_client import Query

LONGEST_VALUES = 2_000
LONGEST = 500  # characters of an error
BUSY = "the rule before is still followed to the lists"
COLUMNS = ("rule", "does", "of", "rooms now", "state", "")
# A template of Vue: {{ }} shows text and never HTML, whatever a rule is about.
ROW = """
<q-tr :props="props"><q-td class="full"><b class="tc-text">{{ props.row.name }}</b></q-td>
  <q-td>{{ props.row.does }}</q-td>
  <q-td class="tc-text" :title="props.row.reason">{{ props.row.of }}</q-td>
  <q-td>{{ props.row.rooms }}</q-td>
  <q-td><span :class="'tc-' + props.row.tone">{{ props.row.state }}</span></q-td>
  <q-td class="tc-num"><button type="button" class="tc-act bad" v-if="props.row.deletable"
    :aria-label="'delete ' + props.row.name" @click="$parent.$emit('delete', props.row.id)">delete</button></q-td>
</q-tr>
"""


class RulesPanel:
    """The panel. queries: gives what the lists that are shown ask for."""

    def __init__(self, shared: Shared, queries: Callable[[], Sequence[Query]]) -> None:
        self._shared, self._queries = shared, queries
        with panel("Rules") as (self._note, end):
            with end:
                self._open = quiet_button("put a rule", self._toggle)
                self._curl = copy_button(self._as_curl)
            self._without = ui.label().classes("tc-why tc-text")
            self._waiting = skeleton(1)
            self._form = ui.row(wrap=True).classes("tc-line tc-form")
            with self._form:
                self._draw_form()
            with ui.element("div").classes("tc-beside"):
                self._table = ui.table(columns=[{"name": one, "label": one} for one in COLUMNS], rows=[], row_key="id")
                self._table.props("flat dense").classes("tc-table tc-cards tc-some").add_slot("body", ROW)
                self._table.on("delete", self._delete)
                with ui.element("div") as self._outcome:
                    seconds = ui.label("0.0 s").classes("tc-watch small")
                    self._steps = ui.element("div").classes("tc-steps").props("aria-live=polite")
            self._watch = StopWatch(seconds, shared.clock)
        for hidden in (self._form, self._outcome, self._table, self._open, self._curl, self._without):
            hidden.set_visibility(False)

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest rules, or why this console may not see them."""
        rules, failed = snapshot.rules, snapshot.failures.get("rules", "")
        is_known = rules is not None and not failed
        self._waiting.set_visibility(rules is None and not failed)
        self._without.set_visibility(bool(failed))
        self._without.set_text(shown(f"Rules cannot be put from here: {failed}", LONGEST))
        self._open.set_visibility(is_known)
        self._curl.set_visibility(is_known)
        self._table.set_visibility(is_known and bool(rules))
        if rules is None:
            self._form.set_visibility(False)
        self._note.set_text(heading(rules) if is_known and rules is not None else "")
        if rules is not None:
            self._table.props["rows"] = rule_rows(rules, self._shared.clock.now_ms())

    def choose(self, room: str) -> None:
        """Opens the form for a room."""
        if not self._open.visible:
            ui.notify("rules cannot be put from here", type="warning", position="top")
            return
        self._kind.set_value("room")
        self._values.set_value(room)
        self._form.set_visibility(True)
        self._action.run_method("focus")

    def _draw_form(self) -> None:
        self._name = self._text("rule name", MAX_NAME_LENGTH, "such as finals")
        self._action = self._choice("does", ACTIONS, "boost", self._chosen)
        self._kind = self._choice("to rooms by", tuple(LISTS), "category")
        self._values = self._text("which", LONGEST_VALUES, "commas between several")
        self._weight = ui.number("weight", value=1, min=0.01, max=MAX_WEIGHT, step=0.5)
        self._place = ui.number("place", value=1, min=1, max=MAX_POSITION, step=1, precision=0)
        self._ends = self._choice("ends", tuple(ENDS_S), SOON)
        self._reason = self._text("reason", MAX_REASON_LENGTH, "what people read")
        for number in (self._weight, self._place):
            number.props("dense outlined").classes("tc-field")
        self._put = ui.button("Put rule", on_click=self._sent, color=None)
        self._put.props("unelevated no-caps").classes("tc-main")
        for field in (self._name, self._values, self._reason):
            field.on("keydown.enter.prevent", self._sent)
        self._chosen()

    def _text(self, label: str, longest: int, placeholder: str) -> ui.input:
        made = ui.input(label, placeholder=placeholder).props(f"dense outlined maxlength={longest}")
        return made.classes("tc-field")

    def _choice(
        self, label: str, options: Sequence[str], value: str, changed: Callable[[], None] | None = None
    ) -> ui.select:
        made = ui.select([*options], value=value, label=label, on_change=changed)
        return made.props("dense outlined options-dense").classes("tc-field")

    def _chosen(self) -> None:
        """Shows the fields that count for the action."""
        self._weight.set_visibility(self._action.value in WEIGHED)
        self._place.set_visibility(self._action.value == "pin")

    def _toggle(self) -> None:
        self._form.set_visibility(not self._form.visible)
        if self._form.visible:
            self._name.run_method("focus")

    def _typed(self) -> TypedRule:
        return TypedRule(
            name=typed(self._name.value),
            action=cast(RuleAction, self._action.value),
            kind=cast(Kind, self._kind.value),
            values=typed(self._values.value),
            weight=self._weight.value,
            place=self._place.value,
            ends=str(self._ends.value),
            reason=typed(self._reason.value),
        )

    def _as_curl(self) -> str:
        rule, url = self._typed(), f"{self._shared.api.url}{RULES_PATH}"
        if rule.missing:
            return as_curl(url)
        return as_curl(f"{url}/{rule.name}", rule.body(self._shared.clock.now_ms()), "PUT")

    def _sent(self) -> None:
        rule = self._typed()
        if self._watch.is_busy:
            ui.notify(BUSY, type="warning", position="top")
            return
        if rule.missing:
            ui.notify(f"{' and '.join(rule.missing)} is missing", type="warning", position="top")
            return

        async def send() -> None:
            body = rule.body(self._shared.clock.now_ms())
            self._begin(put(self._shared.api, self._shared.clock, rule.name, body, self._queries()))

        there = any(one.name == rule.name for one in self._shared.poller.snapshot.rules or ())
        if there:
            name = shown(rule.name, NAME)
            ask_first(f"Replace {name}?", "There is a rule of this name. This one takes its place.", send)
        else:
            background_tasks.create(send(), name="rule")

    def _delete(self, event: events.GenericEventArguments) -> None:
        name = str(event.args)
        if self._watch.is_busy:
            ui.notify(BUSY, type="warning", position="top")
            return

        async def send() -> None:
            self._begin(delete(self._shared.api, self._shared.clock, name, self._queries()))

        ask_first(f"Delete {shown(name, NAME)}?", "It ends in every replica within about a second.", send)

    def _begin(self, steps: AsyncIterator[RuleStep]) -> None:
        self._watch.begin()
        background_tasks.create(self._follow(steps), name="rule")

    async def _follow(self, steps: AsyncIterator[RuleStep]) -> None:
        self._put.disable()
        self._outcome.set_visibility(True)
        self._steps.clear()
        try:
            async for step in steps:
                if self._watch.is_gone:
                    return  # the view was left
                if step.known_ms is not None or step.failure:
                    self._watch.stop(step.known_ms, failed=bool(step.failure))
                self._show(step)
                self._shared.poller.wake()
        finally:
            self._watch.end()
            if not self._watch.is_gone:
                self._put.enable()

    def _show(self, step: RuleStep) -> None:
        said: list[tuple[str, str, str]] = [("rule", shown(step.name, NAME) + (" deleted" * step.deletes), "")]
        if step.written_ms is not None:
            said.append(("on the log", f"after {duration(step.written_ms)}", ""))
        if step.known_ms is not None:
            known = "gone from a replica" if step.deletes else "known to a replica"
            said.append((known, f"after {duration(step.known_ms)}", ""))
        if step.failure:
            said.append(("stopped", shown(step.failure, LONGEST), "tc-bad"))
        for effect in step.effects or ():
            who = shown(effect.viewer, NAME) + (f", {shown(effect.version, NAME)}" if effect.version else "")
            said.append((who, _words(effect), "tc-good" if effect.came or effect.went or effect.moved else ""))
        self._steps.clear()
        with self._steps:
            for name, value, tone in said:
                ui.label(name).classes("tc-text")
                ui.label(value).classes(f"tc-text {tone}")


def _words(effect: Effect) -> str:
    ruled = f"{effect.ruled} room{'' if effect.ruled == 1 else 's'} by the rule; " if effect.ruled else ""
    return f"{ruled}{effect.came} came, {effect.went} went, {effect.moved} changed places"
