"""The view Map: live rooms by content, coloured by group, with the trails of those that moved. Never polls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

from nicegui import events, ui

from deploy.console.api import MAP_PATH, MAPPED, as_curl
from deploy.console.map_picture import Kind, Picture, Spot, found
from deploy.console.map_trails import KEPT_S
from deploy.console.pages.map_chart import MapChart, group_colour
from deploy.console.pages.panel import copy_button, panel, quiet_button, skeleton
from deploy.console.pages.shared import Shared
from deploy.console.pages.similar_rooms import show_similar
from deploy.console.poller import Needs, Snapshot
from deploy.console.shown_text import NAME, shown, typed

LISTED = 9
KINDS: Sequence[Kind] = get_args(Kind)
NONE_MOVED = f"No room has moved in the last {KEPT_S:.0f} s."
# A template of Vue: {{ }} shows text and never HTML, whatever a title holds.
ROW = """
<q-tr :props="props" class="tc-row" :class="{picked: props.row.picked}"
      @click="$parent.$emit('pick', props.row.room)">
  <q-td><button type="button" class="tc-pick" @click.stop="$parent.$emit('pick', props.row.room)">
    <span class="tc-title tc-text" dir="auto"><i class="tc-dot" :style="{background: props.row.colour}"></i>
      {{ props.row.title }}</span></button></q-td>
  <q-td class="tc-num">{{ props.row.said }}</q-td></q-tr>
"""


class MapView:
    """The map, and beside it the room that was chosen and the rooms that moved or were found."""

    needs = Needs(map=True)

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._kind: Kind = "category"
        self._picked = ""
        self._groups: object = None
        url = f"{shared.api.url}{MAP_PATH}?limit={MAPPED}&mature=any"
        with ui.element("div").classes("tc-page with-side tc-after"):
            with panel("Rooms by content") as (self._note, end):
                with end:
                    copy_button(lambda: as_curl(url))
                with ui.row(wrap=True).classes("tc-line"):
                    ui.label("colour by").classes("tc-note")
                    self._kinds = ui.toggle(list(KINDS), value=self._kind, on_change=self._coloured)
                    self._kinds.props('dense flat no-caps aria-label="colour by"').classes("tc-toggle")
                self._legend = ui.element("div").classes("tc-legend")
                self._wrong = ui.label().classes("tc-why bad tc-text")
                self._waiting = skeleton(8)
                self._empty = ui.label(
                    "No room is on the map yet. A room is there once its title or its chat was encoded; Health shows "
                    "what the encoder does."
                ).classes("tc-why")
                self._chart = MapChart(self._pick)
                self._box = self._chart.box
            with ui.element("div").classes("tc-side"):
                with panel("Room") as (_, self._room_end):
                    with self._room_end:
                        self._similar = quiet_button("similar rooms", lambda: show_similar(shared.api, self._picked))
                    self._said = ui.element("div").classes("tc-steps")
                    self._nothing = ui.label("Choose a room on the map or in the list.").classes("tc-note")
                with panel("Moved most") as (self._list_note, _):
                    self._find = ui.input("find a room", on_change=self._redraw)
                    self._find.props("dense outlined clearable debounce=300 maxlength=80")
                    self._list = ui.table(
                        columns=[
                            {"name": "room", "label": "room", "align": "left"},
                            {"name": "said", "label": "moved", "headerClasses": "tc-num"},
                        ],
                        rows=[],
                        row_key="room",
                    ).props("flat dense")
                    self._list.classes("tc-table").add_slot("body", ROW)
                    self._list.on("pick", self._chosen)
                    self._none = ui.label(NONE_MOVED).classes("tc-note")
        self._empty.set_visibility(False)
        self._box.set_visibility(False)
        self._wrong.set_visibility(False)
        self._none.set_visibility(False)
        self._describe(None)

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest map."""
        failed = snapshot.failures.get("map", "")
        self._wrong.set_visibility(bool(failed))
        self._wrong.set_text(shown(f"The system gives no map: {failed}", 400))
        drawn = snapshot.map
        self._waiting.set_visibility(drawn is None and not failed)
        if drawn is None:
            return
        picture, rows = self._shared.picture(self._kind)
        self._empty.set_visibility(not drawn.rooms)
        self._box.set_visibility(bool(drawn.rooms))
        live, mapped = drawn.live_rooms, len(drawn.rooms)
        which = f"the {mapped} largest of {live:,}" if live > mapped else f"{mapped} rooms"
        self._note.set_text(
            f"{which}, size by audience; the two directions show {drawn.explained:.0%} of what differs"
            if drawn.rooms
            else ""
        )
        matching = found(picture.spots, typed(self._find.value))
        self._draw_legend(picture)
        self._chart.show(picture, rows, matching, self._picked)
        self._list_rooms(picture, matching)
        self._describe(next((spot for spot in picture.spots if spot.point.room == self._picked), None))

    def focus(self) -> None:
        """Puts the cursor where one types."""
        self._find.run_method("focus")

    def _redraw(self) -> None:
        self.show(self._shared.poller.snapshot)

    def _coloured(self, event: events.ValueChangeEventArguments[Any]) -> None:
        self._kind = cast(Kind, event.value)
        self._redraw()

    def _chosen(self, event: events.GenericEventArguments) -> None:
        self._pick(str(event.args))

    def _pick(self, room: str) -> None:
        if room:
            self._picked = "" if room == self._picked else room
            self._redraw()

    def _draw_legend(self, picture: Picture) -> None:
        groups = (self._kind, tuple(picture.groups))
        if groups == self._groups:
            return
        self._groups = groups
        self._legend.clear()
        with self._legend:
            for name, number, rooms in picture.groups:
                with ui.element("span"):
                    ui.element("i").style(f"background: {group_colour(number)}")
                    ui.label(f"{name} {rooms}").classes("tc-text").style("display: inline")

    def _list_rooms(self, picture: Picture, matching: Sequence[Spot]) -> None:
        """Lists what was searched for, else what moved."""
        searched = bool(typed(self._find.value))
        spots = matching if searched else picture.moved
        self._list_note.set_text(
            f"{len(matching)} found" if searched else f"in the last {KEPT_S:.0f} s, as a share of the map"
        )
        self._none.set_visibility(not spots)
        self._none.set_text("No room on the map has this text." if searched else NONE_MOVED)
        self._list.set_visibility(bool(spots))
        frame = picture.frame
        side = max(frame.width, frame.height) if frame is not None else 1.0
        self._list.props["rows"] = tuple(_row(spot, side, picked=self._picked) for spot in spots[:LISTED])

    def _describe(self, spot: Spot | None) -> None:
        self._similar.set_visibility(spot is not None)
        self._nothing.set_visibility(spot is None)
        self._nothing.set_text(
            "It is not on the map any more." if self._picked else "Choose a room on the map or in the list."
        )
        self._said.clear()
        self._said.set_visibility(spot is not None)
        if spot is None:
            return
        point = spot.point
        drift = "nothing to compare with yet" if point.drift is None else f"{point.drift:.2f}"
        with self._said:
            for name, value in (
                ("title", shown(point.title) or "(no title)"),
                ("streamer", shown(point.streamer, NAME)),
                ("room", shown(point.room, NAME)),
                ("category", shown(point.category, NAME) or "none"),
                ("language", shown(point.language, NAME) or "none"),
                ("viewers", f"{point.audience:,}"),
                ("drift", drift),
                *([("code", str(point.code))] if point.code is not None else []),
            ):
                ui.label(name)
                ui.label(value).classes("tc-text").props("dir=auto")


def _row(spot: Spot, side: float, *, picked: str) -> dict[str, Any]:
    point = spot.point
    moved = "" if spot.trail is None else f"{spot.trail.moved / side:.0%}"
    return {
        "room": point.room,
        "title": shown(point.title, NAME) or shown(point.room, NAME),
        "colour": group_colour(spot.colour),
        "said": moved,
        "picked": point.room == picked,
    }
