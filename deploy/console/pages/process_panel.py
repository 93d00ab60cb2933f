"""The panel of the processes; of a demo, with buttons that kill one and the clock of its recovery. Never polls."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import background_tasks, events, ui

from deploy.console.api import as_curl
from deploy.console.control import Control, Recovery, follow
from deploy.console.explanation import duration
from deploy.console.health import process_rows
from deploy.console.pages.panel import StopWatch, ask_first, copy_button, panel, skeleton
from deploy.console.pages.shared import Shared
from deploy.console.shown_text import shown
from deploy.http.status import Post, SystemStatus

NUMBERS = ("records/s", "pid")
ROW = """
<q-tr :props="props"><q-td class="full"><b>{{ props.row.process }}</b></q-td>
  <q-td class="full"><span :class="'tc-' + props.row.tone" class="tc-text">{{ props.row.state }}</span></q-td>
  <q-td><span class="tc-narrow" v-if="props.row.partitions">partitions </span>{{ props.row.partitions }}</q-td>
  <q-td class="tc-num">{{ props.row.rate }}<span class="tc-narrow" v-if="props.row.rate"> records/s</span></q-td>
  <q-td class="tc-mono tc-num"><span class="tc-narrow">pid </span>{{ props.row.pid }}</q-td>
  <q-td class="tc-mono tc-text">{{ props.row.node }}</q-td>%s</q-tr>
"""
KILL = """
  <q-td class="tc-num"><button type="button" class="tc-act bad" :aria-label="'kill ' + props.row.process"
    @click="$parent.$emit('kill', props.row.id)">kill</button></q-td>"""


class ProcessPanel:
    """The panel."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._status: SystemStatus | None = None
        kills = shared.control is not None
        with panel("Processes") as (self._count, end):
            with end:
                copy_button(lambda: as_curl(f"{shared.api.admin_url}/v1/status"))
            with ui.row(wrap=True).classes("tc-line tc-came") as self._outcome:
                seconds = ui.label("0.0 s").classes("tc-watch small")
                self._steps = ui.element("div").classes("tc-steps").props("aria-live=polite")
            self._outcome.set_visibility(False)
            self._watch = StopWatch(seconds, shared.clock)
            self._waiting = skeleton(4)
            self._table = table(
                ("process", "state", "partitions", "records/s", "pid", "node", *([""] if kills else [])),
                ROW % (KILL if kills else ""),
                NUMBERS,
            )
            self._table.on("kill", self._asked)

    def show(self, status: SystemStatus) -> None:
        """Shows the newest state."""
        self._status = status
        self._waiting.set_visibility(False)
        self._count.set_text(f"{len(status.processes)} have posted in the last ten seconds")
        self._table.props["rows"] = process_rows(status)

    def _asked(self, event: events.GenericEventArguments) -> None:
        posts = self._status.processes if self._status is not None else []
        post = next((one for one in posts if _name(one) == str(event.args)), None)
        control = self._shared.control
        if post is None or control is None or self._watch.is_busy:
            return

        async def kill() -> None:
            self._watch.begin()
            background_tasks.create(self._follow(control, post), name="recovery")

        said = f"Its process, pid {post.pid}, ends at once (SIGKILL), and the clock runs until another does its work."
        ask_first(f"Kill {_name(post)}?", said, kill)

    async def _follow(self, control: Control, post: Post) -> None:
        self._outcome.set_visibility(True)
        try:
            async for recovery in follow(self._shared.api, control, self._shared.clock, post):
                if self._watch.is_gone:
                    return  # the view was left
                self._draw(recovery)
            self._shared.poller.wake()
        finally:
            self._watch.end()

    def _draw(self, recovery: Recovery) -> None:
        if recovery.ended:
            self._watch.stop(recovery.works_ms, failed=bool(recovery.failure))
        said = [(_name(recovery.post), f"pid {recovery.post.pid} {'killed' if recovery.killed else ''}", "")]
        if recovery.came_ms is not None:
            said.append(("its successor", f"pid {recovery.pid}, posts after {duration(recovery.came_ms)}", ""))
        if recovery.works_ms is not None:
            said.append(("works again", f"after {duration(recovery.works_ms)}", "tc-good"))
        if recovery.failure:
            said.append(("stopped", shown(recovery.failure, 300), "tc-bad"))
        self._steps.clear()
        with self._steps:
            for name, value, tone in said:
                ui.label(name).classes("tc-text")
                ui.label(value).classes(f"tc-text {tone}")


def table(columns: Sequence[str], row: str, numbers: Sequence[str]) -> ui.table:
    """A table whose rows are drawn by a template. numbers: the columns that stand on the right."""
    named = [{"name": name, "label": name, "headerClasses": "tc-num" if name in numbers else ""} for name in columns]
    made = ui.table(columns=named, rows=[], row_key="id").props("flat dense").classes("tc-table tc-cards")
    made.add_slot("body", row)
    return made


def _name(post: Post) -> str:
    return f"{post.name} {post.rank}"
