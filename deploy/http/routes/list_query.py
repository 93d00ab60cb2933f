"""The parameters of a list of rooms, read from a query string. Never looks at a room.

A query string has no lists: tags and streamers stand in one parameter, with commas between them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from actors.recommend.schema import MAX_EXCLUDED_STREAMERS, Limit
from actors.requests.filters import (
    CategoryFilter,
    Filters,
    LanguageFilter,
    MatureFilter,
    MaxAge,
    MaxAudience,
    MaxReceiptAge,
    MinAge,
    MinAudience,
    TagsMatchFilter,
)
from streaming.errors import RequestError
from streaming.events import MAX_ID_LENGTH, MAX_LABEL_LENGTH, MAX_TAGS

MAX_TEXT = 8_192  # characters of one parameter; HAProxy takes a head of 16 KB


def pattern_of(most: int, longest: int) -> dict[str, str]:
    """What JSON Schema says of such a text."""
    return {"pattern": f"^[^,]{{0,{longest}}}(,[^,]{{0,{longest}}}){{0,{most - 1}}}$"}


TagsText = Annotated[
    str,
    Meta(
        max_length=MAX_TEXT,
        description=f"whole tags that a room must have, at most {MAX_TAGS}, with commas between them",
        examples=["speedrun,retro"],
        extra_json_schema=pattern_of(MAX_TAGS, MAX_LABEL_LENGTH),
    ),
]
StreamersText = Annotated[
    str,
    Meta(
        max_length=MAX_TEXT,
        description=f"ids of streamers whose rooms are left out, at most {MAX_EXCLUDED_STREAMERS}, with commas between",
        examples=["streamer-1,streamer-2"],
        extra_json_schema=pattern_of(MAX_EXCLUDED_STREAMERS, MAX_ID_LENGTH),
    ),
]


class ListQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which live rooms to list, and how many."""

    limit: Limit = 20
    language: LanguageFilter | None = None
    category: CategoryFilter | None = None
    mature: MatureFilter = None
    tags: TagsText = ""
    tags_match: TagsMatchFilter = "all"
    min_audience: MinAudience | None = None
    max_audience: MaxAudience | None = None
    min_age_s: MinAge | None = None
    max_age_s: MaxAge | None = None
    max_receipt_age_ms: MaxReceiptAge | None = None
    exclude_streamers: StreamersText = ""

    @property
    def filters(self) -> Filters:
        """The filters for rooms of the list. Raises RequestError: they contradict each other, or are too many."""
        asked = {name: getattr(self, name) for name in Filters.__struct_fields__ if name != "tags"}
        tags = parts_of("tags", self.tags, MAX_TAGS, MAX_LABEL_LENGTH)
        try:
            return Filters(**asked, tags=tags)
        except ValueError as err:
            raise RequestError(str(err), field="", allowed="bounds between which a room can be") from err

    @property
    def streamers(self) -> tuple[str, ...]:
        """The streamers whose rooms are left out. Raises RequestError: they are too many."""
        return parts_of("exclude_streamers", self.exclude_streamers, MAX_EXCLUDED_STREAMERS, MAX_ID_LENGTH)


def parts_of(field: str, text: str, most: int, longest: int) -> tuple[str, ...]:
    """The parts of a parameter between its commas. Raises RequestError: they are too many, or one is too long."""
    parts = tuple(part for part in text.split(",") if part.strip())
    if len(parts) > most or any(len(part) > longest for part in parts):
        allowed = f"at most {most}, each of at most {longest} characters, with commas between them"
        raise RequestError(f"{field} has {len(parts)} parts, or a longer one", field=field, allowed=allowed)
    return parts
