"""What the made-up API of the console's tests makes of texts, liked rooms and goals. No test is here."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from actors.answers.search import SearchAnswer
from actors.recommend.schema import Item, Query, Room
from actors.requests.goals import Goals
from actors.requests.steer import Steer, Steered

GAIN = 12.0  # of a room that is as like as can be, in score and in places
AWAY = "the Encoder has not answered in time; ask again in a second"


def likeness(text: str, room: Room) -> float:
    """The share of the text's words that title and category have, from 0 to 1."""
    words = set(text.lower().split())
    return len(words & set(f"{room.title} {room.category}".lower().replace(",", " ").split())) / max(1, len(words))


def search(text: str, live: Sequence[Room], limit: int) -> SearchAnswer:
    """Rooms with the words of the text in title or category, then the others."""
    items = [
        Item(
            **msgspec.structs.asdict(room),
            score=round(0.1 + 0.7 * likeness(text, room), 4),
            source="said" if likeness(text, room) else "live",
            reason=f'what is said here is like "{text}"' if likeness(text, room) else "live now",
        )
        for room in sorted(live, key=lambda room: -likeness(text, room))[:limit]
    ]
    return SearchAnswer(
        text=text,
        encoder_version="all-MiniLM-L6-v2-fp32",
        model_version="v0",
        generated_at_ms=time.time_ns() // 1_000_000,
        live_rooms=len(live),
        rooms=items,
    )


def pulls(steer: Steer, rooms: Sequence[Room], *, reads: bool) -> list[float]:
    """What each room gains. reads: whether the text counts. A liked room pulls those of its category."""
    kinds = {room.room: room.category for room in rooms}

    def alike(room: Room, names: Sequence[str]) -> float:
        return sum(kinds.get(name) == room.category for name in names)

    gains = [
        (likeness(steer.text, room) if steer.text and reads else 0.0)
        + alike(room, steer.liked)
        - alike(room, steer.disliked)
        for room in rooms
    ]
    mean = sum(gains) / max(1, len(gains))
    return [round(GAIN * steer.strength * (gain - mean), 3) for gain in gains]


def steered(items: Sequence[Item], steer: Steer, *, reads: bool) -> list[Item]:
    """The items with their pull, in the order that it makes; disliked rooms are not among them."""
    gains = pulls(steer, items, reads=reads)
    places = {item.room: place - gain for place, (item, gain) in enumerate(zip(items, gains, strict=True))}
    pulled = [
        msgspec.structs.replace(
            item,
            score=item.score + gain,
            terms=UNSET if item.terms is UNSET else {**item.terms, "steer": gain},
        )
        for item, gain in zip(items, gains, strict=True)
        if item.room not in steer.disliked
    ]
    return sorted(pulled, key=lambda item: places[item.room])


def became(steer: Steer, rooms: Sequence[Room], *, reads: bool) -> Steered:
    """What is said of a steer."""
    live = {room.room for room in rooms}
    text = UNSET if steer.text is None else "used" if reads else "unavailable"
    return Steered(text=text, ended=[], unknown=[one for one in (*steer.liked, *steer.disliked) if one not in live])


def by_goals(items: Sequence[Item], goals: Goals) -> list[Item]:
    """The items in another order the more is asked for beside entering; a different one for each goal."""
    weights = list(msgspec.structs.asdict(goals).values())[1:]
    places = {
        item.room: place - sum(weight * (int(item.room[-2:]) % (at + 3)) for at, weight in enumerate(weights))
        for place, item in enumerate(items)
    }
    return sorted(items, key=lambda item: places[item.room])


def needs_encoder(query: Query) -> bool:
    """Whether a text of the query is to be read first."""
    return query.steer is not None and query.steer.text is not None
