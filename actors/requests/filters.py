"""The filters of a request, as records. Never looks at a room."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streaming.events import MAX_TAGS, Label, Language

MAX_AUDIENCE = 10_000_000  # a column of float32 counts exactly up to 16 million
MAX_AGE_S = 315_360_000  # ten years: no broadcast is longer
MAX_RECEIPT_AGE_MS = 1_000 * MAX_AGE_S

Mature = bool | Literal["any"]
TagsMatch = Literal["all", "any"]
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
WantedTag = Annotated[Label, Meta(min_length=1)]
TagsFilter = Annotated[
    tuple[WantedTag, ...],
    Meta(
        max_length=MAX_TAGS,
        description="whole tags that a room must have; letter case and Unicode form aside",
        examples=[["speedrun", "retro"]],
    ),
]
TagsMatchFilter = Annotated[
    TagsMatch, Meta(description='"all": a room must have every one of `tags`; "any": one of them', examples=["any"])
]
Audience = Annotated[int, Meta(ge=0, le=MAX_AUDIENCE)]
MinAudience = Annotated[Audience, Meta(description="viewers in the room, at least", examples=[10])]
MaxAudience = Annotated[Audience, Meta(description="viewers in the room, at most", examples=[500])]
Age = Annotated[int, Meta(ge=0, le=MAX_AGE_S)]
MinAge = Annotated[Age, Meta(description="seconds since the broadcast began, at least", examples=[600])]
MaxAge = Annotated[Age, Meta(description="seconds since the broadcast began, at most", examples=[3_600])]
MaxReceiptAge = Annotated[
    int,
    Meta(ge=0, le=MAX_RECEIPT_AGE_MS, description="the `age_ms` of a room's receipt, at most", examples=[30_000]),
]


class Filters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rooms may be returned; a filter left out lets every room through."""

    language: LanguageFilter | None = None
    category: CategoryFilter | None = None
    mature: MatureFilter = None
    tags: TagsFilter = ()
    tags_match: TagsMatchFilter = "all"
    min_audience: MinAudience | None = None
    max_audience: MaxAudience | None = None
    min_age_s: MinAge | None = None
    max_age_s: MaxAge | None = None
    max_receipt_age_ms: MaxReceiptAge | None = None

    def __post_init__(self) -> None:
        """Raises ValueError: no room can be within the bounds. msgspec makes a ValidationError of it."""
        for name in ("audience", "age_s"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if least is not None and most is not None and least > most:
                raise ValueError(f"min_{name} {least} is above max_{name} {most}: no room is both")

    @property
    def narrows(self) -> bool:
        """Whether a room may be left out for another reason than being mature, or not being it."""
        return (
            self.language is not None
            or self.category is not None
            or bool(self.tags)
            or self.min_audience is not None
            or self.max_audience is not None
            or self.min_age_s is not None
            or self.max_age_s is not None
            or self.max_receipt_age_ms is not None
        )


NO_FILTERS = Filters()
