"""The box that says what a viewer does, and shows how their list moves. Never polls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from nicegui import background_tasks, ui

from deploy.console.api import EVENTS_PATH, as_curl
from deploy.console.explanation import duration
from deploy.console.following.chat_line import place_words
from deploy.console.following.viewer_event import ACTIONS, WATCHED_S, Step, follow
from deploy.console.pages.composer import INSTEAD, LONGEST, WITHOUT
from deploy.console.pages.panel import StopWatch, copy_button, panel
from deploy.console.pages.shared import Shared
from deploy.console.shown_text import NAME, shown, typed
from streaming.events import MAX_ID_LENGTH, Action, ViewerEvent
from tidecast_client import Query

WORDS = {
    "enter": "enters",
    "leave": "leaves",
    "watch": f"watches for {WATCHED_S:.0f} s",
    "like": "likes",
    "gift": "gives",
    "follow": "follows the streamer",
    "hide_room": "hides the room",
    "unhide_room": "shows the room again",
    "block_streamer": "blocks the streamer",
    "unblock_streamer": "unblocks the streamer",
    "not_interested": "is not interested",
    "undo_not_interested": "is interested after all",
}


class EventPanel:
    """The box. queries: gives what the lists that are shown ask for, each for one viewer."""

    def __init__(self, shared: Shared, queries: Callable[[], Sequence[Query]]) -> None:
        self._shared, self._queries = shared, queries
        with panel("Send an event", "and watch the list move") as (_, end):
            with end:
                self._curl = copy_button(lambda: as_curl(f"{shared.api.url}{EVENTS_PATH}", [self._event()]))
            self._without = ui.label().classes("tc-why tc-text")
            self._form = ui.row(wrap=True).classes("tc-line tc-form")
            with self._form:
                self._viewer = ui.input("viewer").props(f"dense outlined maxlength={MAX_ID_LENGTH}")
                self._action = ui.select({one: WORDS.get(one, one) for one in ACTIONS}, value="enter", label="what")
                self._action.props("dense outlined options-dense")
                self._room = ui.input("room", placeholder="choose one below").props(
                    f"dense outlined maxlength={MAX_ID_LENGTH}"
                )
                self._send = ui.button("Send event", on_click=self._sent, color=None)
                self._send.props("unelevated no-caps").classes("tc-main")
            for field in (self._viewer, self._action, self._room):
                field.classes("tc-field")
            self._room.on("keydown.enter.prevent", self._sent)
            with ui.row(wrap=True).classes("tc-line tc-came") as self._outcome:
                seconds = ui.label("0.0 s").classes("tc-watch small")
                self._steps = ui.element("div").classes("tc-steps").props("aria-live=polite")
            self._watch = StopWatch(seconds, shared.clock)
        self._outcome.set_visibility(False)
        self.offer(None)

    def choose(self, viewer: str, room: str) -> None:
        """Fills in a viewer and a room."""
        self._viewer.set_value(viewer)
        self._room.set_value(room)
        self._action.run_method("focus")

    def suggest(self, viewer: str) -> None:
        """Fills in a viewer where nobody is there yet."""
        if not typed(self._viewer.value):
            self._viewer.set_value(viewer)

    def offer(self, refusal: str | None) -> None:
        """Shows the form, or why this installation takes no events. None: not known yet."""
        self._without.set_visibility(bool(refusal))
        said = INSTEAD.replace("chat", "viewer-events").replace("receipts show when it is covered", "the list follows")
        self._without.set_text(f"{WITHOUT}: {shown(refusal or '', LONGEST)}. {said}")
        self._form.set_visibility(not refusal)
        self._curl.set_visibility(not refusal)

    def _event(self) -> ViewerEvent:
        """As far as it is known before the streamer is looked up."""
        viewer, room = typed(self._viewer.value), typed(self._room.value)
        streamers = (item.streamer for answer in self._shared.poller.snapshot.answers.values() for item in answer.rooms)
        rooms = (item.room for answer in self._shared.poller.snapshot.answers.values() for item in answer.rooms)
        known = dict(zip(rooms, streamers, strict=False))
        return ViewerEvent(
            viewer=viewer,
            room=room,
            streamer=known.get(room, "STREAMER"),
            action=cast(Action, self._action.value),
            at_ms=self._shared.clock.now_ms(),
            seconds=WATCHED_S if self._action.value == "watch" else 0.0,
        )

    def _sent(self) -> None:
        event = self._event()
        missing = [name for name, value in (("a viewer", event.viewer), ("a room", event.room)) if not value]
        if missing:
            ui.notify(f"{' and '.join(missing)} is missing", type="warning", position="top")
        elif not self._watch.is_busy:
            self._watch.begin()
            background_tasks.create(self._follow(event), name="viewer event")

    async def _follow(self, event: ViewerEvent) -> None:
        query = next((one for one in self._queries() if one.viewer == event.viewer), Query(viewer=event.viewer))
        self._send.disable()
        self._outcome.set_visibility(True)
        try:
            async for step in follow(self._shared.api, self._shared.clock, event, query):
                if self._watch.is_gone:
                    return  # the view was left
                self._show(step, query.limit)
            self._shared.poller.wake()
        finally:
            self._watch.end()
            if not self._watch.is_gone:
                self._send.enable()

    def _show(self, step: Step, listed: int) -> None:
        if step.known_ms is not None or step.failure:
            self._watch.stop(step.known_ms, failed=bool(step.failure))
        event = step.event
        said = [(shown(event.viewer, NAME), f"{WORDS.get(event.action, event.action)}: {shown(event.room, NAME)}", "")]
        if step.written_ms is not None:
            said.append(("taken by the API", f"after {duration(step.written_ms)}", ""))
        if step.known_ms is not None:
            said.append(("in the profile", f"after {duration(step.known_ms)}", ""))
        if step.failure:
            said.append(("stopped", shown(step.failure, LONGEST), "tc-bad"))
        if step.room is not None:
            moved = step.room.place.moved
            said.append(("the room's place", place_words(step.room.place, listed), "tc-good" if moved else ""))
            said.append(
                ("the other rooms", f"{step.came} came, {step.went} went, {step.room.others} changed places", "")
            )
        self._steps.clear()
        with self._steps:
            for name, value, tone in said:
                ui.label(name).classes("tc-text")
                ui.label(value).classes(f"tc-text {tone}")
