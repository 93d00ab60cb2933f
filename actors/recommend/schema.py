"""Requests to a Recommender and its answers, as records. Never computes them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streaming.events import MAX_ID_LENGTH, Id, Label, Language

MAX_LIMIT = 100
MAX_EXCLUDED = 1_000

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="how many rooms to return at most", examples=[20])]
Mature = bool | Literal["any"]
ReasonSource = Literal[
    "visited", "followed", "similar", "category", "language", "trending", "popular", "new", "others", "live"
]


LanguageFilter = Annotated[
    Language,
    Meta(
        min_length=1,
        description='a language tag; "pt" finds "pt-BR" and "PT_br" too, "pt-BR" no other region',
        examples=["pt"],
    ),
]
CategoryFilter = Annotated[
    Label,
    Meta(
        min_length=1,
        description="the whole name of a category; letter case and Unicode form aside",
        examples=["Just Chatting"],
    ),
]
MatureFilter = Annotated[
    Mature | None,
    Meta(
        description='true: only rooms for adults; "any": these too; else none, unless recommend.show_mature says so',
        examples=["any"],
    ),
]


class Filters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rooms may be returned; a filter left out lets every room through."""

    language: LanguageFilter | None = None
    category: CategoryFilter | None = None
    mature: MatureFilter = None


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for how many rooms, and which must not be among them."""

    viewer: Id
    limit: Limit = 20
    exclude: Annotated[list[Annotated[str, Meta(max_length=MAX_ID_LENGTH)]], Meta(max_length=MAX_EXCLUDED)] = []
    filters: Filters = Filters()
    explain: bool = False


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh an item is. Times in ms since the Unix epoch."""

    segment_end_ms: int  # newest chat that the room's vector saw; 0 where it saw the title alone
    servable_ms: int  # when this replica could first answer with that vector
    age_ms: int  # from the newest text that the vector saw, chat or title, to this answer
    encoder_version: str
    model_version: str


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A live room."""

    room: str
    streamer: str
    title: str
    category: str
    language: str
    tags: tuple[str, ...]
    mature: bool
    started_at_ms: int
    audience: int
    chat_per_minute: int
    receipt: Receipt


class Item(Room, frozen=True, kw_only=True):
    """A room of an answer and why it is there. `terms` (on `explain`): what the score is the sum of."""

    score: float
    source: ReasonSource
    reason: str
    terms: dict[str, float] | UnsetType = UNSET


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Rooms in order, best first."""

    request: str
    viewer: str
    known: bool  # whether the viewer's profile was at hand; without it this is a cold-start viewer
    model_version: str
    generated_at_ms: int
    live_rooms: int
    rooms: list[Item]
