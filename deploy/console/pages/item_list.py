"""A viewer's list as cards of the page: rank, reason, receipt, terms of the score. Never asks for a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import UNSET
from nicegui import events, ui

from deploy.console.explanation import duration, receipt_times, waterfall
from deploy.console.list_moves import Place
from deploy.console.shown_text import NAME, shown
from deploy.console.theme import colour
from tidecast_client import Answer, Item

# A template of Vue: {{ }} shows text and never HTML, whatever a title holds.
CARD_HEAD = """
<div class="tc-item" :class="{picked: props.row.picked}">
  <div class="tc-rank">{{ props.row.rank }}
    <span class="tc-move" :class="props.row.tone" :title="props.row.hint">{{ props.row.move }}</span></div>
  <div style="min-width: 0">
    <div class="tc-title tc-text" dir="auto">{{ props.row.title }}</div>
    <div class="tc-sub"><bdi>{{ props.row.streamer }}</bdi> · <bdi class="tc-mono">{{ props.row.name }}</bdi></div>
    <div class="tc-sub"><span class="tc-tag tc-text" v-if="props.row.category">{{ props.row.category }}</span>
      <span class="tc-tag" v-if="props.row.language">{{ props.row.language }}</span>
      {{ props.row.audience }} viewers, {{ props.row.chat }} chat/min</div>
"""
CARD = (
    CARD_HEAD
    + """\
    <div class="tc-reason"><b class="tc-text" dir="auto">{{ props.row.reason }}</b>
      <span class="tc-tag tc-text" v-if="props.row.rule">rule {{ props.row.rule }}</span>
      <span class="tc-note">score {{ props.row.score }}</span></div>
    <div class="tc-bar" v-if="props.row.parts.length" aria-hidden="true">
      <span v-for="part in props.row.parts" :title="part.name"
            :style="{width: part.width, background: part.colour}"></span></div>
    <div class="tc-times"><span>{{ props.row.heard }}</span><i :style="{flexGrow: props.row.before}"></i>
      <span>servable</span><i :style="{flexGrow: props.row.after}"></i><span>{{ props.row.answered }}</span></div>
    <div class="tc-actions">
      <button @click="$parent.$emit('why', props.row.room)" :aria-pressed="props.row.picked">why</button>
      <button @click="$parent.$emit('similar', props.row.room)">similar rooms</button>
      <button @click="$parent.$emit('leave', props.row.room)">leave out</button>
      <button @click="$parent.$emit('send', props.row.room)">send an event</button>
      <button @click="$parent.$emit('rule', props.row.room)">rule</button>
      <button v-if="props.row.stranger" @click="$parent.$emit('seen', props.row.room)">was here</button></div>
  </div>
</div>
"""
)
TONES = {"▲": "up", "▼": "down", "n": "new"}
HINTS = {"▲": "higher than in the other list", "▼": "lower than in the other list", "n": "not in the other list"}


def item_rows(answer: Answer, others: Mapping[str, Place], picked: str) -> tuple[dict[str, Any], ...]:
    """The cards of an answer. others: places in the list beside it, if any. picked: the room that is explained."""
    return tuple(
        _row(rank, item, answer, others.get(item.room), picked=item.room == picked)
        for rank, item in enumerate(answer.rooms, 1)
    )


def term_colours(items: Sequence[Item]) -> dict[str, str]:
    """The colours of terms, the same in each list: by the order in which the API names them."""
    names = dict.fromkeys(step.name for item in items for step in waterfall(item).steps)
    return {name: colour(at) for at, name in enumerate(sorted(names))}


def room_fields(rank: int, item: Item) -> dict[str, Any]:
    """What CARD_HEAD shows of a room, its mark of a move left out, and its score and reason."""
    return {
        "room": item.room,
        "rank": rank,
        "name": shown(item.room, NAME),
        "title": shown(item.title) or "(no title)",
        "streamer": shown(item.streamer, NAME),
        "category": shown(item.category, NAME),
        "language": shown(item.language, NAME),
        "audience": item.audience,
        "chat": item.chat_per_minute,
        "reason": shown(item.reason),
        "score": f"{item.score:.3f}",
    }


def _row(rank: int, item: Item, answer: Answer, place: Place | None, *, picked: bool) -> dict[str, Any]:
    times = receipt_times(item.receipt, answer.generated_at_ms)
    why = waterfall(item)
    colours = term_colours([item])
    whole = sum(step.value for step in why.steps if step.value > 0) or 1.0
    move = "" if place is None or not place.moved else "only here" if place.there is None else place.words
    first = "n" if move == "only here" else move[:1]
    return room_fields(rank, item) | {
        "picked": picked,
        "stranger": not answer.known,
        "move": move,
        "tone": TONES.get(first, ""),
        "hint": HINTS.get(first, ""),
        "rule": _unsaid_rule(item),
        "parts": [
            {
                "name": f"{step.name} {step.value:+.3f}",
                "width": f"{100 * step.value / whole:.1f}%",
                "colour": colours[step.name],
            }
            for step in why.steps
            if why.adds_up and step.value > 0
        ],
        "heard": f"chat {duration(times.to_servable_ms)}" if times.heard else "title alone",
        "before": round(max(0.05, times.servable_share), 3),
        "after": round(max(0.05, 1 - times.servable_share), 3),
        "answered": f"{duration(times.to_answer_ms)} answer",
    }


def _unsaid_rule(item: Item) -> str:
    """The operator's rule that has moved the room, where the reason does not name it."""
    rule = "" if item.rule is UNSET else item.rule
    return "" if item.reason.endswith(rule) else shown(rule, NAME)


class ItemList:
    """The cards. on: what receives a room, by the button that was pressed. card: the template of one, with buttons."""

    def __init__(self, on: Mapping[str, Callable[[str], Any]], card: str = CARD) -> None:
        self._table = ui.table(columns=[], rows=[], row_key="room").props("flat grid hide-header")
        self._table.classes("tc-table tc-list").add_slot("item", card)
        for name, receive in on.items():
            self._table.on(name, _passing(receive))

    def show(self, rows: tuple[dict[str, Any], ...], *, awaited: bool = False) -> None:
        """Replaces the cards. awaited: they answer what was asked before, and others are on their way."""
        self._table.props["rows"] = rows
        self._table.classes(add="tc-awaited" if awaited else "", remove="" if awaited else "tc-awaited")


def _passing(receive: Callable[[str], Any]) -> Callable[[events.GenericEventArguments], Any]:
    def pass_on(event: events.GenericEventArguments) -> Any:
        return receive(str(event.args))

    return pass_on
