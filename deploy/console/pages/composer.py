"""The box that writes a chat line into a room and times what becomes of it. Never polls for rooms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import background_tasks, ui

from deploy.console.api import CHAT_PATH, Api, as_curl
from deploy.console.explanation import duration
from deploy.console.following.chat_line import Moved, Progress, follow, place_words
from deploy.console.pages.panel import StopWatch, copy_button, panel, skeleton
from deploy.console.shown_text import NAME, shown, typed
from streaming.clock import Clock
from streaming.events import MAX_ID_LENGTH, ChatMessage
from tidecast_client import Query

LISTED = 20  # rooms of each viewer's list in which the room is looked for
MOST_VIEWERS = 4  # whose lists are compared: each costs two requests a line
LONGEST = 500  # characters, as platforms allow
WITHOUT = "This installation takes no records over HTTP"
INSTEAD = "Write to the topic chat instead: receipts show when it is covered."
AUTHOR = "console"
COLD_START = "console-cold-start"  # nobody has that id, so there is no profile: what a newcomer gets


class Composer:
    """The box. viewers: gives the ids whose lists are looked at, beside those of the author and a cold-start viewer."""

    def __init__(self, api: Api, clock: Clock, viewers: Callable[[], Sequence[str]]) -> None:
        self._api, self._clock, self._viewers = api, clock, viewers
        with panel("Write a chat line") as (_, end):
            with end:
                self._curl = copy_button(self._as_curl)
            self._waiting = skeleton(3)
            self._without = ui.label().classes("tc-why tc-text")
            self._form = ui.element("div").classes("tc-skeleton")
            with self._form:
                self._room = ui.input("room", placeholder="pick one from the list").props(
                    f"dense outlined maxlength={MAX_ID_LENGTH}"
                )
                self._text = ui.input("chat line").props(f"dense outlined maxlength={LONGEST}").mark("chat-line")
                self._author = ui.input("as viewer", value=AUTHOR).props(f"dense outlined maxlength={MAX_ID_LENGTH}")
                self._send = (
                    ui.button("Send", on_click=self._sent, color=None).props("unelevated no-caps").classes("tc-main")
                )
            self._text.on("keydown.enter.prevent", self._sent)
            self._seconds = ui.label("0.0 s").classes("tc-watch")
            self._steps = ui.element("div").classes("tc-steps").props("aria-live=polite")
            self._watch = StopWatch(self._seconds, clock)
        self._seconds.set_visibility(False)
        self.offer(None)

    @property
    def text_field(self) -> ui.input:
        """The field for the line, to be focused."""
        return self._text

    def choose(self, room: str) -> None:
        """Fills in a room."""
        self._room.set_value(room)
        self._text.run_method("focus")

    def offer(self, refusal: str | None) -> None:
        """Shows the form, or why this installation takes no chat. None: not known yet."""
        self._waiting.set_visibility(refusal is None)
        self._without.set_visibility(bool(refusal))
        self._without.set_text(f"{WITHOUT}: {shown(refusal or '', LONGEST)}. {INSTEAD}")
        self._form.set_visibility(refusal == "")
        self._curl.set_visibility(refusal == "")

    def _line(self) -> ChatMessage:
        room, author, text = (typed(field.value) for field in (self._room, self._author, self._text))
        return ChatMessage(room=room, viewer=author, text=text, at_ms=self._clock.now_ms())

    def _as_curl(self) -> str:
        return as_curl(f"{self._api.url}{CHAT_PATH}", [self._line()])

    def _queries(self, author: str) -> list[Query]:
        viewers = list(dict.fromkeys([*self._viewers(), author, COLD_START]))[:MOST_VIEWERS]
        return [Query(viewer=viewer, limit=LISTED) for viewer in viewers]

    def _sent(self) -> None:
        line = self._line()
        missing = [
            name
            for name, value in (("a room", line.room), ("a viewer", line.viewer), ("a text", line.text))
            if not value
        ]
        if missing:
            ui.notify(f"{' and '.join(missing)} is missing", type="warning", position="top")
        elif not self._watch.is_busy:
            self._watch.begin()
            background_tasks.create(self._follow(line), name="chat line")

    async def _follow(self, line: ChatMessage) -> None:
        self._send.disable()
        self._seconds.set_visibility(True)
        self._text.set_value("")
        try:
            async for progress in follow(self._api, self._clock, line, self._queries(line.viewer)):
                if self._watch.is_gone:
                    return  # the view was left
                if progress.covered_ms is not None or progress.failure:
                    self._watch.stop(progress.covered_ms, failed=bool(progress.failure))
                self._show(progress)
        finally:
            self._watch.end()
            if not self._watch.is_gone:
                self._send.enable()

    def _show(self, progress: Progress) -> None:
        self._steps.clear()
        with self._steps:
            _step("line", shown(progress.line.text, LONGEST))
            if progress.written_ms is not None:
                _step("taken by the API", f"after {duration(progress.written_ms)}")
            if progress.covered_ms is not None:
                _step("covered by a receipt", f"after {duration(progress.covered_ms)}")
            if progress.failure:
                _step("stopped", shown(progress.failure, LONGEST), "tc-bad")
            elif progress.covered_ms is not None and progress.moves is None:
                _step("lists", "are compared …")
            for moved in progress.moves or ():
                _step(shown(moved.viewer, NAME), _said(moved), "tc-good" if moved.place.moved else "")


def _step(name: str, value: str, tone: str = "") -> None:
    ui.label(name).classes("tc-text")
    ui.label(value).classes(f"tc-text {tone}")


def _said(moved: Moved) -> str:
    who = "" if moved.known else " (cold start)"
    others = f", {moved.others} others changed places" if moved.others else ""
    return f"{place_words(moved.place, LISTED)}{others}{who}"
