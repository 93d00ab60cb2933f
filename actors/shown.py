"""Owns how a live room looks in an answer. Never chooses which rooms are in it."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from actors.answer import Item, Receipt, Room, Source
from actors.room_table import Card
from actors.taste import Taste

MODEL_VERSION = "v0"


@dataclass(frozen=True, slots=True)
class Why:
    """Why a room is in an answer. terms: what its score is the sum of, if that was asked for."""

    source: Source
    reason: str
    terms: dict[str, float] | UnsetType = UNSET


def reason_of(card: Card, taste: Taste, *, visited: bool, near: bool, trending: bool) -> Why:
    """The strongest of the reasons that hold."""
    if visited:
        return Why("visited", "you visited " + card.state.streamer + " before")
    if taste.anchor and (near or card.state.category in taste.categories):
        return Why("similar", "similar to " + taste.anchor + ", where you were")
    return Why("trending", "trending now") if trending else Why("new", "just started")


def shown_room(card: Card, now_ms: int) -> Room:
    """The room alone."""
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
        receipt=_receipt(card, now_ms),
    )


def shown_item(card: Card, now_ms: int, score: float, why: Why) -> Item:
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
        receipt=_receipt(card, now_ms),
        score=score,
        source=why.source,
        reason=why.reason,
        terms=why.terms,
    )


def _receipt(card: Card, now_ms: int) -> Receipt:
    state = card.state
    saw_ms = max(state.segment_end_ms, state.described_at_ms)
    return Receipt(
        segment_end_ms=state.segment_end_ms,
        servable_ms=card.servable_ms,
        age_ms=max(0, now_ms - saw_ms),
        encoder_version=state.encoder_version,
        model_version=MODEL_VERSION,
    )
