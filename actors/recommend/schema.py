"""Requests to a Recommender and its answers, as records. Never computes them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.requests.context import Context
from actors.requests.cursor import Cursor
from actors.requests.filters import NO_FILTERS, Filters, LanguageFilter
from actors.requests.goals import AskedGoals, IgnoredWeight
from actors.requests.steer import Steer, Steered
from actors.requests.treatments import AskedVersion
from streaming.events import MAX_ID_LENGTH, Id

MAX_LIMIT = 100
MAX_EXCLUDED = 1_000
MAX_GIVEN = 1_000
MAX_EXCLUDED_STREAMERS = 200  # with MAX_EXCLUDED rooms, what a body of http.max_body_bytes holds in any script

Limit = Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="how many rooms to return at most", examples=[20])]
ReasonSource = Literal[
    "visited",
    "followed",
    "similar",
    "category",
    "language",
    "preferred",
    "steered",
    "trending",
    "popular",
    "new",
    "others",
    "live",
    "named",
    "said",
    "titled",
    "pinned",
    "boosted",
    "buried",
]


ReasonLanguage = Annotated[
    LanguageFilter | None,
    Meta(
        description="a language tag: reasons are written in it where there are texts for it; left out: the context's "
        "language, the one that the viewer watches most, or English",
        examples=["de"],
    ),
]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for how many rooms, and which must not be among them."""

    viewer: Id
    limit: Limit = 20
    exclude: Annotated[list[Annotated[str, Meta(max_length=MAX_ID_LENGTH)]], Meta(max_length=MAX_EXCLUDED)] = []
    exclude_streamers: Annotated[
        tuple[Id, ...], Meta(max_length=MAX_EXCLUDED_STREAMERS, description="streamers whose rooms are left out")
    ] = ()
    filters: Filters = NO_FILTERS
    context: Context | None = None
    cursor: Cursor | None = None
    steer: Steer | None = None
    goals: AskedGoals = None
    explain: bool = False
    shown: Annotated[
        bool,
        Meta(description="false: nobody will see this answer, as when it is fetched ahead; it is noted nowhere"),
    ] = True
    reason_language: ReasonLanguage = None
    version: AskedVersion = ""


class RankQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks for the order of which rooms."""

    viewer: Id
    rooms: Annotated[
        tuple[Id, ...],
        Meta(min_length=1, max_length=MAX_GIVEN, description="ids of rooms, live or not; repeats count once"),
    ]
    context: Context | None = None
    goals: AskedGoals = None
    explain: bool = False
    reason_language: ReasonLanguage = None


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
    """A room of an answer and why it is there. `terms` (on `explain`): what the score is the sum of.

    `rule`: the operator's rule that has moved the room, if one has.
    """

    score: float
    source: ReasonSource
    reason: str
    rule: str | UnsetType = UNSET
    terms: dict[str, float] | UnsetType = UNSET


class AnswerHead(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer for a viewer begins with."""

    request_id: str
    viewer: str
    known: bool  # whether the viewer's profile was at hand; without it this is a cold-start viewer
    model_version: str
    generated_at_ms: int
    live_rooms: int
    # where the request, an experiment or a rule has goals: whether the version has heads for them
    goals_used: bool | UnsetType = UNSET
    goals_ignored: Annotated[
        list[IgnoredWeight] | UnsetType,
        Meta(description="weights of these goals that do not count: the version has no head for them"),
    ] = UNSET
    goals_rule: str | UnsetType = UNSET  # the operator's rule whose goals these are
    experiments: dict[str, str] | UnsetType = UNSET  # that the answer is part of, each with the viewer's variant


class Answer(AnswerHead, frozen=True, kw_only=True):
    """Rooms in order, best first."""

    cursor: str | UnsetType | None = UNSET  # for the next page, null after the last; where pages were asked for
    steer: Steered | UnsetType = UNSET  # what became of a steer
    rooms: list[Item]


class RankAnswer(AnswerHead, frozen=True, kw_only=True):
    """The given rooms in order, best first: every live one, mature or not. `not_live`: the others, as given."""

    never_shown: list[str]  # of the given rooms, those that the viewer's own rules forbid
    hidden: list[str] = []  # of the given rooms, those that an operator's rule hides
    not_live: list[str]
    rooms: list[Item]
