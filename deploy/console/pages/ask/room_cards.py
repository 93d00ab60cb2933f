"""Rooms as narrow cards of the page Ask: where they stand, why, how fresh, and what pulls them. Never asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.console.ask.steer_effect import Compared, Effect
from deploy.console.explanation import duration
from deploy.console.list_moves import Place
from deploy.console.pages.item_list import CARD_HEAD, room_fields
from tidecast_client import Answer, Item, SearchAnswer

CARD = (
    CARD_HEAD
    + """\
    <div class="tc-reason"><b class="tc-text" dir="auto">{{ props.row.reason }}</b>
      <span class="tc-note" v-if="props.row.score">score {{ props.row.score }}</span></div>
    <div class="tc-pull" v-if="props.row.bar"><span>{{ props.row.bar.said }}</span>
      <i aria-hidden="true" :class="{middle: props.row.bar.signed}"><b :class="props.row.bar.tone"
         :style="{left: props.row.bar.left, width: props.row.bar.width}"></b></i></div>
    <div class="tc-sub">{{ props.row.receipt }}</div>
    <div class="tc-actions">
      <button @click="$parent.$emit('like', props.row.room)" :aria-pressed="props.row.liked">like</button>
      <button @click="$parent.$emit('dislike', props.row.room)" :aria-pressed="props.row.disliked">dislike</button>
      <button @click="$parent.$emit('similar', props.row.room)">similar rooms</button>
      <button v-if="props.row.explained" @click="$parent.$emit('why', props.row.room)"
              :aria-pressed="props.row.picked">why</button></div>
  </div>
</div>
"""
)
UP, DOWN, NEW = ("up", "down", "new")


def found_cards(found: SearchAnswer, chosen: Mapping[str, bool]) -> tuple[dict[str, Any], ...]:
    """The cards of a search; a bar draws the score. chosen: rooms that are liked, or else disliked."""
    return tuple(
        _card(rank, item, chosen)
        | {"score": "", "bar": _bar(f"score {item.score:.3f}", 0.0, max(0.0, min(1.0, item.score)), "", signed=False)}
        for rank, item in enumerate(found.rooms, 1)
    )


def plain_cards(answer: Answer, effect: Effect | None, chosen: Mapping[str, bool]) -> tuple[dict[str, Any], ...]:
    """The cards of a list without a steer. effect: where its rooms stand with it; None where there is none."""
    return tuple(
        _card(rank, item, chosen) | (_goes_to(effect.places.get(item.room)) if effect is not None else {})
        for rank, item in enumerate(answer.rooms, 1)
    )


def steered_cards(
    compared: Compared, effect: Effect, chosen: Mapping[str, bool], picked: str
) -> tuple[dict[str, Any], ...]:
    """The cards of a list with its steer: how far each room has moved, and what pulls it."""
    return tuple(
        _card(rank, item, chosen)
        | _came_from(effect.places[item.room])
        | {"bar": _pull(effect, item.room), "picked": item.room == picked, "explained": True}
        for rank, item in enumerate(compared.steered.rooms, 1)
    )


def _card(rank: int, item: Item, chosen: Mapping[str, bool]) -> dict[str, Any]:
    heard = item.receipt.segment_end_ms > 0
    age = duration(item.receipt.age_ms)
    return room_fields(rank, item) | {
        "picked": False,
        "explained": False,
        "move": "",
        "tone": "",
        "hint": "",
        "bar": None,
        "receipt": f"receipt: chat of {age} ago" if heard else f"receipt: the title alone, {age} ago",
        "liked": chosen.get(item.room) is True,
        "disliked": chosen.get(item.room) is False,
    }


def _goes_to(place: Place | None) -> dict[str, str]:
    """The mark of a room in the list without the steer: where it stands with it."""
    if place is None or not place.moved:
        return {}
    if place.here is None:
        return {"move": "leaves", "tone": DOWN, "hint": "not in the list with the steer"}
    return {"move": f"→ {place.here}", "tone": UP if place.words.startswith("▲") else DOWN, "hint": "with the steer"}


def _came_from(place: Place) -> dict[str, str]:
    """The mark of a room in the list with the steer: how far it has moved."""
    if not place.moved:
        return {}
    if place.there is None:
        return {"move": "new", "tone": NEW, "hint": "not in the list without the steer"}
    up = place.words.startswith("▲")
    return {"move": place.words, "tone": UP if up else DOWN, "hint": f"it was {place.there} without the steer"}


def _pull(effect: Effect, room: str) -> dict[str, Any] | None:
    pull = effect.pulls.get(room)
    if pull is None:
        return None
    share = abs(pull) / effect.strongest / 2
    return _bar(f"pull {pull:+.2f}", 0.5 if pull >= 0 else 0.5 - share, share, UP if pull >= 0 else DOWN, signed=True)


def _bar(said: str, left: float, width: float, tone: str, *, signed: bool) -> dict[str, Any]:
    return {"said": said, "left": f"{left:.1%}", "width": f"{width:.1%}", "tone": tone, "signed": signed}
