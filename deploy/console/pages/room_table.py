"""Live rooms as a table of the page, and as cards on a phone. Never polls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nicegui import events, ui

from deploy.console.explanation import duration
from deploy.console.history import HEIGHT, WIDTH, RoomLines
from deploy.console.shown_text import NAME, shown
from tidecast_client import Room

# No field: NiceGUI would look through every cell at each update. The order is the API's, largest audience first.
COLUMNS = [
    {"name": "room", "label": "room", "align": "left"},
    {"name": "kind", "label": "category, language", "align": "left", "headerClasses": "c-kind"},
    {"name": "audience", "label": "viewers", "align": "right", "headerClasses": "c-num tc-num"},
    {"name": "chat", "label": "chat/min", "align": "right", "headerClasses": "c-num tc-num"},
    {"name": "line", "label": "chat, 3 minutes", "align": "left", "headerClasses": "c-line"},
    {"name": "drift", "label": "drift, 3 minutes", "align": "left", "headerClasses": "c-line"},
    {"name": "age", "label": "receipt", "align": "right", "headerClasses": "c-age tc-num"},
]
# A template of Vue: {{ }} shows text and never HTML, whatever a title holds.
ROW = f"""
<q-tr :props="props" class="tc-row" :class="{{picked: props.row.picked}}"
      @click="$parent.$emit('pick', props.row.room)">
  <q-td class="full">
    <button type="button" class="tc-pick" title="write into this room"
            @click.stop="$parent.$emit('pick', props.row.room)">
      <span class="tc-title tc-text" dir="auto">{{{{ props.row.title }}}}</span></button>
    <div class="tc-sub"><bdi>{{{{ props.row.streamer }}}}</bdi> ·
      <bdi class="tc-mono">{{{{ props.row.name }}}}</bdi></div></q-td>
  <q-td class="full"><span class="tc-tag tc-text" v-if="props.row.category">{{{{ props.row.category }}}}</span>
    <span class="tc-tag" v-if="props.row.language">{{{{ props.row.language }}}}</span>
    <span class="tc-tag" v-if="props.row.mature">18+</span></q-td>
  <q-td class="tc-num">{{{{ props.row.audience }}}}<span class="tc-narrow"> viewers</span></q-td>
  <q-td class="tc-num">{{{{ props.row.chat }}}}<span class="tc-narrow"> chat/min</span></q-td>
  <q-td class="grow"><svg class="tc-spark" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">
    <polyline :points="props.row.line"></polyline></svg></q-td>
  <q-td class="grow" title="how far what is said now is from what was said before">
    <svg class="tc-spark drift" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">
    <polyline :points="props.row.drift"></polyline></svg></q-td>
  <q-td class="tc-num"><span class="tc-narrow">receipt </span>{{{{ props.row.age }}}}</q-td>
</q-tr>
"""


class Lines(Protocol):
    """The lines that the table needs; the poller has them."""

    rates: RoomLines
    drifts: RoomLines


def room_rows(rooms: Sequence[Room], lines: Lines, at_s: float) -> tuple[dict[str, Any], ...]:
    """Rows of the table; computed once for all tabs. A tuple, so that NiceGUI does not copy it for each."""
    return tuple(
        {
            "room": room.room,
            "name": shown(room.room, NAME),
            "title": shown(room.title) or "(no title)",
            "streamer": shown(room.streamer, NAME),
            "category": shown(room.category, NAME),
            "language": shown(room.language, NAME),
            "mature": room.mature,
            "audience": room.audience,
            "chat": room.chat_per_minute,
            "line": lines.rates.line(room.room, at_s),
            "drift": lines.drifts.line(room.room, at_s),
            "age": duration(room.receipt.age_ms) if room.receipt.segment_end_ms else "title",
        }
        for room in rooms
    )


class RoomTable:
    """The table. pick: receives the room that somebody chose, by pointer or by keyboard."""

    def __init__(self, pick: Callable[[str], None]) -> None:
        self._picked = ""
        self._table = ui.table(columns=COLUMNS, rows=[], row_key="room").props("flat dense")
        self._table.classes("tc-table tc-rooms tc-cards").add_slot("body", ROW)

        def picked(event: events.GenericEventArguments) -> None:
            pick(str(event.args))

        self._table.on("pick", picked)

    def show(self, rows: tuple[dict[str, Any], ...]) -> None:
        """Replaces the rows; they are other tabs' too, and stay as they are."""
        marked = ({**row, "picked": True} if row["room"] == self._picked else row for row in rows)
        self._table.props["rows"] = tuple(marked)

    def mark(self, room: str) -> None:
        """Marks the room that was chosen, from the next rows on."""
        self._picked = room

    def hide(self, *, hidden: bool) -> None:
        """Hides the table while there is nothing in it."""
        self._table.set_visibility(not hidden)
