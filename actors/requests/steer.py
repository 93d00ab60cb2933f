"""What a caller pulls one answer towards, as a record. Never looks at a room."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from actors.requests.asked_text import AskedText
from streaming.events import Id

MAX_STEERING = 20  # rooms liked, and as many disliked
MOST_STRENGTH = 4.0

SteeringRooms = Annotated[tuple[Id, ...], Meta(max_length=MAX_STEERING, examples=[["room-1"]])]


class Steer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text and rooms that pull this one answer. It changes no profile.

    Each of `text` and `liked` pulls towards what is said there, `disliked` away from it.
    """

    text: AskedText | None = None
    liked: SteeringRooms = ()
    disliked: SteeringRooms = ()
    strength: Annotated[
        float, Meta(ge=0, le=MOST_STRENGTH, description="how much it counts; 1 as usual, 0 not at all", examples=[1.0])
    ] = 1.0

    def __post_init__(self) -> None:
        """Raises ValueError: nothing pulls. msgspec makes a ValidationError of it."""
        if self.text is None and not self.liked and not self.disliked:
            raise ValueError("steer has neither text nor liked nor disliked: nothing pulls")


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a steer."""

    text: Literal["used", "unavailable"] | UnsetType = UNSET  # unavailable: the Encoder is away, or busy
    ended: list[str]  # rooms that ended within the hour: they pulled as they were at their end
    unknown: list[str]  # rooms that pulled nothing: no such room is known, or nothing was said there yet
