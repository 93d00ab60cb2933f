"""A text that a caller asks with, as it is compared with rooms. Never encodes it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from streaming.errors import RequestError
from streaming.room.saying import normalise

MAX_ASKED_LENGTH = 200  # characters: in most languages as much as the encoder reads, 64 tokens

AskedText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_ASKED_LENGTH,
        description="what rooms should be about, in your own words",
        examples=["learning to bake bread"],
    ),
]


def readable(text: str, field: str) -> str:
    """The text as titles and chat are read: NFC, without control characters and repetition.

    Raises RequestError: nothing is left of it.
    """
    found = normalise(text, MAX_ASKED_LENGTH)
    if not found:
        allowed = f"a text of 1 to {MAX_ASKED_LENGTH} characters that says something"
        raise RequestError(f"{field} has nothing in it that could be compared", field=field, allowed=allowed)
    return found
