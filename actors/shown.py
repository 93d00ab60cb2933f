"""Owns how a live room looks in an answer. Never chooses which rooms are in it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import UNSET, UnsetType

from actors.answer import Item, Receipt, Room, Source
from actors.room_table import Card


class Pick(msgspec.Struct, frozen=True, gc=False):  # refers to nothing that refers back to it
    """A room that was chosen for an answer, and why."""

    card: Card
    score: float
    source: Source
    terms: dict[str, float] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Why:
    """Why a room is in an answer. terms: what its score is the sum of, if that was asked for."""

    source: Source
    reason: str
    terms: dict[str, float] | UnsetType = UNSET


def reason_of(source: Source, streamer: str, anchor: str) -> str:
    """The reason in words. anchor: the streamer whose room the viewer's taste owes most to."""
    if source == "visited":
        return "you visited " + streamer + " before"
    if source == "similar":
        return "similar to " + anchor + ", where you were"
    return "trending now" if source == "trending" else "just started"


def shown_room(card: Card, now_ms: int, model_version: str) -> Room:
    """The room alone. model_version: in force."""
    state = card.state
    return Room(
        room=state.room,
        streamer=state.streamer,
        title=state.title,
        category=state.category,
        language=state.language,
        tags=state.tags,
        mature=state.mature,
        started_at_ms=state.started_at_ms,
        audience=card.audience,
        chat_per_minute=2 * state.window_messages,
        receipt=_receipt(card, now_ms, model_version),
    )


def shown_item(card: Card, now_ms: int, score: float, why: Why, model_version: str) -> Item:
    """The room as one of an answer."""
    state = card.state
    return Item(
        room=state.room,
        streamer=state.streamer,
        title=state.title,
        category=state.category,
        language=state.language,
        tags=state.tags,
        mature=state.mature,
        started_at_ms=state.started_at_ms,
        audience=card.audience,
        chat_per_minute=2 * state.window_messages,
        receipt=_receipt(card, now_ms, model_version),
        score=score,
        source=why.source,
        reason=why.reason,
        terms=why.terms,
    )


def saw_ms(card: Card) -> int:
    """The newest text that the room's vector saw."""
    return max(card.state.segment_end_ms, card.state.described_at_ms)


def _receipt(card: Card, now_ms: int, model_version: str) -> Receipt:
    state = card.state
    return Receipt(
        segment_end_ms=state.segment_end_ms,
        servable_ms=card.servable_ms,
        age_ms=max(0, now_ms - saw_ms(card)),
        encoder_version=state.encoder_version,
        model_version=model_version,
    )
