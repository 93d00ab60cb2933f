"""Two lists of rooms compared: who is where in each, and who moved. Never asks for a list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tidecast_client import Item


@dataclass(frozen=True, slots=True)
class Place:
    """A room's place in a list and in another, from 1; None: it is not in that list."""

    here: int | None
    there: int | None

    @property
    def words(self) -> str:
        """The difference, as a mark beside the room: "▲2", "▼3", "=", "new"; for a room that is gone "gone"."""
        if self.here is None:
            return "gone"
        if self.there is None:
            return "new"
        up = self.there - self.here
        return "=" if not up else f"▲{up}" if up > 0 else f"▼{-up}"

    @property
    def moved(self) -> bool:
        """Whether the places differ."""
        return self.here != self.there


def places(here: Sequence[Item], there: Sequence[Item]) -> dict[str, Place]:
    """The places of every room of either list, by room; those of `here` first, in order."""
    at_there = {item.room: place for place, item in enumerate(there, 1)}
    found = {item.room: Place(place, at_there.get(item.room)) for place, item in enumerate(here, 1)}
    return found | {room: Place(None, place) for room, place in at_there.items() if room not in found}


def compared(both: Iterable[Place]) -> str:
    """What differs between two lists, in words, as the first of them sees it."""
    here = [place for place in both if place.here is not None]
    alone = sum(place.there is None for place in here)
    moved = sum(place.moved for place in here) - alone
    if not alone and not moved:
        return "the same rooms in the same order as in the other list"
    return f"beside the other list: {moved} in another place, {alone} only here"


def reordered(before: Sequence[str], after: Sequence[str]) -> int:
    """How many of the rooms that both lists have stand in another order: what came or went moves nobody."""
    kept = set(before) & set(after)
    stayed, stays = ([room for room in rooms if room in kept] for rooms in (before, after))
    return sum(old != new for old, new in zip(stayed, stays, strict=True))
