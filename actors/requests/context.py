"""What a caller knows of a viewer whom the platform does not, as a record. Never looks at a room."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from actors.requests.filters import LanguageFilter
from streaming.events import Id

MAX_RECENT = 30  # as many visits as a viewer tower looks at, by default


class Context(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rooms or streamers where the viewer was just now, and the language that they prefer.

    It counts for a viewer without a profile alone. There is no country: no room has one.
    """

    recent: Annotated[
        tuple[Id, ...],
        Meta(max_length=MAX_RECENT, description="ids of rooms or streamers, the latest first", examples=[["room-1"]]),
    ] = ()
    language: LanguageFilter | None = None
