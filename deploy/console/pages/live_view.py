"""The view Live: rooms by audience, and the box for a chat line. Never polls."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import ui

from actors.recommend.schema import MAX_LIMIT
from deploy.console.api import as_curl
from deploy.console.pages.composer import Composer
from deploy.console.pages.panel import copy_button, panel, skeleton
from deploy.console.pages.room_table import RoomTable
from deploy.console.pages.shared import Shared
from deploy.console.poller import Needs, Snapshot


class LiveView:
    """Rooms, and the box beside them."""

    needs = Needs(rooms=True, map=True)  # the map says how far rooms have drifted

    def __init__(self, shared: Shared, viewers: Callable[[], Sequence[str]]) -> None:
        self._shared = shared
        with ui.element("div").classes("tc-page with-side"):
            with panel("Live rooms") as (self._note, end):
                with end:
                    copy_button(lambda: as_curl(f"{shared.api.url}/v1/rooms?limit={MAX_LIMIT}&mature=any"))
                self._waiting = skeleton()
                self._empty = ui.label(
                    "No room is live. `tidecast simulate` plays a platform that does not exist; `tidecast replay FILE` "
                    "plays recorded chat."
                ).classes("tc-why")
                self._table = RoomTable(self._picked)
            with ui.element("div").classes("tc-side"):
                self._composer = Composer(shared.api, shared.clock, viewers)
        self._empty.set_visibility(False)
        self._table.hide(hidden=True)

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest answers."""
        self._composer.offer(snapshot.chat_refusal)
        if not snapshot.rooms_at_ms:
            return
        self._waiting.set_visibility(False)
        self._empty.set_visibility(not snapshot.rooms)
        self._table.hide(hidden=not snapshot.rooms)
        live = snapshot.readiness.live_rooms if snapshot.readiness is not None else 0
        shown = len(snapshot.rooms)
        self._note.set_text(f"the {shown} largest of {live}" if live > shown else f"{shown}, largest audience first")
        self._table.show(self._shared.room_rows())

    def focus(self) -> None:
        """Puts the cursor where one types."""
        self._composer.text_field.run_method("focus")

    def _picked(self, room: str) -> None:
        self._table.mark(room)
        self._table.show(self._shared.room_rows())
        self._composer.choose(room)
