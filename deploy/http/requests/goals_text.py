"""Goals as one text, for a query string or a command line: a name, or weights such as "stay:4,leave:2"."""

from __future__ import annotations

import math
from typing import TypeVar

import msgspec

from streaming.errors import RequestError

ALLOWED = "a name of recommend.named_goals, or weights such as enter:1,stay:4,interact:2,leave:1"
LONGEST = 128  # characters: of a name, or of all weights

G = TypeVar("G", bound=msgspec.Struct)


def goals_of_text(text: str, goals: type[G]) -> G | str | None:
    """What a text asks for; None where it is empty.

    goals: the record of weights. Whether a name is known is not looked up. Raises RequestError: a weight is none, or of
    no goal.
    """
    if ":" not in text:
        return text or None
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition(":")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not math.isfinite(weight) or name in weights:
            raise RequestError(f"goals: {part!r} is no weight, or stands twice", field="goals", allowed=ALLOWED)
        if name not in goals.__struct_fields__:
            known = ", ".join(goals.__struct_fields__)
            raise RequestError(f"goals: {name!r} is none of {known}", field="goals", allowed=ALLOWED)
        weights[name] = weight
    try:
        return msgspec.convert(weights, goals)
    except msgspec.ValidationError as err:
        raise RequestError(f"goals: {err}", field="goals", allowed=ALLOWED) from err
