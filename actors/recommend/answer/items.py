"""The form of a live room in an answer: fields, reason and receipt. Never chooses which rooms are in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET, UnsetType

from actors.recommend.schema import Item, ReasonSource, Receipt, Room
from actors.requests.reason_texts import ReasonTexts
from actors.spaces.content_space import RoomSnapshot


class ChosenRoom(msgspec.Struct, frozen=True, gc=False):  # it takes no part in a reference cycle
    """A room chosen for an answer, and why. about: the streamer that it is similar to, or from whom others came.

    rule: the operator's rule that has moved it, "" for none; then `about` is the reason.
    """

    snapshot: RoomSnapshot
    score: float
    source: ReasonSource
    chat_per_minute: int  # as of now
    about: str = ""
    rule: str = ""
    terms: dict[str, float] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Why:
    """The reason why a room is in an answer. terms: what its score is the sum of, if that was asked for."""

    source: ReasonSource
    reason: str
    terms: dict[str, float] | UnsetType = UNSET
    rule: str | UnsetType = UNSET


NO_REASON = Why("live", "")


def about_of(chosen_room: ChosenRoom) -> str:
    """The streamer or label that a reason names; "" for none."""
    if chosen_room.source in {"visited", "followed"}:
        return chosen_room.snapshot.state.streamer
    if chosen_room.source == "category":
        return chosen_room.snapshot.state.category
    return chosen_room.snapshot.state.language if chosen_room.source in {"language", "preferred"} else chosen_room.about


def as_room(snapshot: RoomSnapshot, now_ms: int, model_version: str, *, chat_per_minute: int) -> Room:
    """A room outside of an answer. chat_per_minute: as of now. model_version: the one in force."""
    item = as_item(snapshot, now_ms, 0.0, NO_REASON, model_version, chat_per_minute=chat_per_minute)
    return Room(**{name: getattr(item, name) for name in Room.__struct_fields__})  # 1 µs more than its own fields


def as_item(
    snapshot: RoomSnapshot, now_ms: int, score: float, why: Why, model_version: str, *, chat_per_minute: int
) -> Item:
    """A room as an item of an answer."""
    state = snapshot.state
    return Item(
        room=state.room,
        streamer=state.streamer,
        title=state.title,
        category=state.category,
        language=state.language,
        tags=state.tags,
        mature=state.mature,
        started_at_ms=state.started_at_ms,
        audience=snapshot.audience,
        chat_per_minute=chat_per_minute,
        receipt=_receipt(snapshot, now_ms, model_version),
        score=score,
        source=why.source,
        reason=why.reason,
        rule=why.rule,
        terms=why.terms,
    )


def as_items(chosen_rooms: Sequence[ChosenRoom], now_ms: int, model_version: str, texts: ReasonTexts) -> list[Item]:
    """Chosen rooms as items of an answer, with reasons in these words."""
    return [
        as_item(
            chosen_room.snapshot,
            now_ms,
            chosen_room.score,
            Why(chosen_room.source, _reason(chosen_room, texts), chosen_room.terms, chosen_room.rule or UNSET),
            model_version,
            chat_per_minute=chosen_room.chat_per_minute,
        )
        for chosen_room in chosen_rooms
    ]


def _reason(chosen_room: ChosenRoom, texts: ReasonTexts) -> str:
    reason, terms = texts.of(chosen_room.source, about_of(chosen_room)), chosen_room.terms
    return texts.lowered(reason) if terms is not UNSET and "shown" in terms else reason


def _receipt(snapshot: RoomSnapshot, now_ms: int, model_version: str) -> Receipt:
    state = snapshot.state
    return Receipt(
        segment_end_ms=state.segment_end_ms,
        servable_ms=snapshot.servable_ms,
        age_ms=max(0, now_ms - snapshot.saw_ms),
        encoder_version=state.encoder_version,
        model_version=model_version,
    )
