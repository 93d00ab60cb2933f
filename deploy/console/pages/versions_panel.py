"""The panel of the models' versions: which answers, what the gate said, publish and roll back. Never polls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import events, ui

from deploy.console.api import VERSIONS_PATH, as_curl
from deploy.console.pages.panel import ask_first, copy_button, panel, quiet_button, skeleton
from deploy.console.pages.shared import Shared
from deploy.console.poller import Snapshot
from deploy.console.shown_text import NAME, shown
from deploy.console.versions import can_roll_back, gate, version_rows
from streaming.errors import TidecastError

COLUMNS = ("version", "state", "since", "metrics", "")
# A template of Vue: {{ }} shows text and never HTML, whatever a version is called.
ROW = """
<q-tr :props="props"><q-td class="full"><b class="tc-text">{{ props.row.version }}</b></q-td>
  <q-td><span :class="'tc-' + props.row.tone">{{ props.row.state }}</span></q-td>
  <q-td>{{ props.row.since }}</q-td>
  <q-td class="full tc-text" :title="props.row.all">{{ props.row.metrics }}</q-td>
  <q-td class="tc-num"><button type="button" class="tc-act" v-if="props.row.offered"
    @click="$parent.$emit('publish', props.row.id)">put live</button></q-td></q-tr>
"""


class VersionsPanel:
    """The panel."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        with panel("Model versions") as (self._note, end):
            with end:
                self._back = quiet_button("roll back", self._roll_back)
                copy_button(lambda: as_curl(f"{shared.api.url}{VERSIONS_PATH}"))
            self._wrong = ui.label().classes("tc-why tc-text")
            self._gate = ui.element("div").classes("tc-steps")
            with self._gate:
                ui.label("last run")
                self._verdict = ui.label().classes("tc-text")
                ui.label("the gate says")
                self._reason = ui.label().classes("tc-text")
            self._waiting = skeleton(2)
            self._table = ui.table(columns=[{"name": one, "label": one} for one in COLUMNS], rows=[], row_key="id")
            self._table.props("flat dense").classes("tc-table tc-cards").add_slot("body", ROW)
            self._table.on("publish", self._publish)
        for hidden in (self._wrong, self._gate, self._table, self._back):
            hidden.set_visibility(False)

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest versions."""
        listed, failed = snapshot.versions, snapshot.failures.get("versions", "")
        self._wrong.set_visibility(bool(failed))
        self._wrong.set_text(shown(f"The versions cannot be listed: {failed}", 400))
        self._waiting.set_visibility(listed is None and not failed)
        self._table.set_visibility(listed is not None)
        self._back.set_visibility(listed is not None and not failed and can_roll_back(listed))
        if listed is not None:
            self._note.set_text(f"{shown(listed.answers, NAME)} answers")
            self._table.props["rows"] = version_rows(listed)
        verdict = gate(snapshot.status) if snapshot.status is not None else None
        self._gate.set_visibility(verdict is not None)
        if verdict is not None:
            self._verdict.set_text(verdict.value)
            self._verdict.classes(remove="tc-good tc-warn tc-bad", add=f"tc-{verdict.tone}" if verdict.tone else "")
            self._reason.set_text(verdict.under or "nothing")

    def _publish(self, event: events.GenericEventArguments) -> None:
        version = str(event.args)

        async def publish() -> str:
            promoted = await self._shared.api.promote(version)
            return f"{promoted.version} is live: {promoted.reason}"

        name = shown(version, NAME)
        ask_first(
            f"Put {name} live?", "Every replica answers by it within seconds. No gate is asked.", self._do(publish)
        )

    def _roll_back(self) -> None:
        async def roll_back() -> str:
            rolled = await self._shared.api.rollback()
            return f"{rolled.live} is live again; {rolled.was} is retired"

        said = "What was live before answers again in every replica, and what is live now is retired."
        ask_first("Roll back?", said, self._do(roll_back))

    def _do(self, change: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            try:
                said, kind = await change(), "positive"
            except TidecastError as err:
                said, kind = str(err), "negative"
            ui.notify(shown(said, 300), type=kind, position="top")  # type: ignore[arg-type]
            self._shared.poller.wake()

        return do
