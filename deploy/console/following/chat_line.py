"""A chat line on its way to the lists: written, covered by a receipt, and whose list moved. Never draws."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from deploy.console.api import Api
from deploy.console.following.watch import Watch, lists
from deploy.console.list_moves import Place, places, reordered
from streaming.clock import Clock
from streaming.errors import TidecastError, UnknownRoom
from streaming.events import ChatMessage
from tidecast_client import Answer, Query

GIVE_UP_S = 60.0  # no text waits for longer than 30 s while the encoder has capacity
LATE = f"no receipt has reached the line after {GIVE_UP_S:.0f} s; Health shows whether the encoder keeps up"
SETTLE_S = 0.6  # lists that are the same for every viewer are renewed every 300 ms


@dataclass(frozen=True, slots=True)
class Moved:
    """A room's place in one viewer's list, before the line and after its receipt.

    others: how many of the other rooms changed their order meanwhile, as rooms do by themselves.
    """

    viewer: str
    known: bool
    place: Place
    others: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a line has come. Times in ms since the line was sent; None: not yet."""

    line: ChatMessage
    written_ms: float | None = None  # the API has taken it
    covered_ms: float | None = None  # a receipt of the room first reached its time
    moves: Sequence[Moved] | None = None
    failure: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return bool(self.failure) or self.moves is not None


async def follow(api: Api, clock: Clock, line: ChatMessage, viewers: Sequence[Query]) -> AsyncIterator[Progress]:
    """Writes a line and follows it; yields each step, the last one `ended`. Raises nothing of Tidecast's.

    Other chat of the same room may move its receipt as well: what is timed is the first receipt whose text reaches the
    line's time, as a viewer of the room would see it.
    """
    progress = Progress(line)
    try:
        before = await lists(api, viewers)
        watch = Watch(clock)
        line = ChatMessage(room=line.room, viewer=line.viewer, text=line.text, at_ms=clock.now_ms())
        await api.write_chat(line)
        progress = replace(progress, line=line, written_ms=watch.passed_ms)
        yield progress

        async def is_covered(at_ms: int = line.at_ms) -> bool:
            return (await api.room(line.room)).receipt.segment_end_ms >= at_ms

        if not await watch.comes(is_covered, GIVE_UP_S):
            yield replace(progress, failure=LATE)
            return
        progress = replace(progress, covered_ms=watch.passed_ms)
        yield progress
        await asyncio.sleep(SETTLE_S)
        yield replace(progress, moves=moves(line.room, before, await lists(api, viewers)))
    except UnknownRoom as err:
        yield replace(progress, failure=f"{err}; the room has ended, or never was")
    except TidecastError as err:
        yield replace(progress, failure=str(err))


def moves(room: str, before: Sequence[Answer], after: Sequence[Answer]) -> list[Moved]:
    """What became of a room in each viewer's list."""
    found = []
    for old, new in zip(before, after, strict=True):
        place = places(new.rooms, old.rooms).get(room, Place(None, None))
        found.append(Moved(new.viewer, new.known, place, reordered(_but(room, old), _but(room, new))))
    return found


def _but(room: str, answer: Answer) -> list[str]:
    return [item.room for item in answer.rooms if item.room != room]


def place_words(place: Place, listed: int) -> str:
    """A room's way through a list of so many rooms, as "7 → 3"."""
    there, here = (f"not in the first {listed}" if at is None else str(at) for at in (place.there, place.here))
    return here if there == here else f"{there} → {here}"
