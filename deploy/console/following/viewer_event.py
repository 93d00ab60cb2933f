"""What a viewer does, on its way to their list: written, in their profile, and what moved. Never draws."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from deploy.console.api import Api
from deploy.console.following.chat_line import Moved, moves
from deploy.console.following.watch import Watch
from deploy.console.list_moves import places
from streaming.clock import Clock
from streaming.errors import TidecastError, UnknownRoom, UnknownViewer
from streaming.events import Action, ViewerEvent
from tidecast_client import Answer, Query

ACTIONS: Sequence[Action] = [one for one in get_args(Action) if one != "chat"]  # a line is written on Live
GIVE_UP_S = 30.0
SETTLE_S = 0.3  # another replica may answer than the one whose profile was seen
WATCHED_S = 30.0  # of `watch`: what a player reports
LATE = f"the profile does not have it after {GIVE_UP_S:.0f} s; Health shows the lag of viewer-events"


@dataclass(frozen=True, slots=True)
class Step:
    """How far an event has come. Times in ms since it was sent; None: not yet.

    room: its place before and after. came, went: how many other rooms came into the list, and left it.
    """

    event: ViewerEvent
    written_ms: float | None = None  # the API has taken it
    known_ms: float | None = None  # the viewer's profile has it, in the replica that was asked
    room: Moved | None = None
    came: int = 0
    went: int = 0
    failure: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return bool(self.failure) or self.room is not None


async def follow(api: Api, clock: Clock, event: ViewerEvent, query: Query) -> AsyncIterator[Step]:
    """Writes an event and follows it into the answer to `query`; yields each step, the last one `ended`.

    Raises nothing of Tidecast's. The streamer of the event is looked up. Other events of the viewer may be what is
    seen in the profile first: it says how many there were, not which.
    """
    step = Step(event)
    try:
        streamer = (await api.room(event.room)).streamer
        before, known = await api.recommend(query), await _events(api, event.viewer)
        watch = Watch(clock)
        seconds = WATCHED_S if event.action == "watch" else 0.0
        event = ViewerEvent(
            viewer=event.viewer,
            room=event.room,
            streamer=streamer,
            action=event.action,
            at_ms=clock.now_ms(),
            seconds=seconds,
        )
        await api.write_viewer_event(event)
        step = replace(step, event=event, written_ms=watch.passed_ms)
        yield step

        async def is_known(viewer: str = event.viewer) -> bool:
            return await _events(api, viewer) > known

        if not await watch.comes(is_known, GIVE_UP_S):
            yield replace(step, failure=LATE)
            return
        step = replace(step, known_ms=watch.passed_ms)
        yield step
        await asyncio.sleep(SETTLE_S)
        yield _compared(step, before, await api.recommend(query))
    except UnknownRoom as err:
        yield replace(step, failure=f"{err}; the room has ended, or never was")
    except TidecastError as err:
        yield replace(step, failure=str(err))


def _compared(step: Step, before: Answer, after: Answer) -> Step:
    """What became of the list."""
    (room,) = moves(step.event.room, [before], [after])
    others = [place for name, place in places(after.rooms, before.rooms).items() if name != step.event.room]
    came, went = (sum(getattr(place, side) is None for place in others) for side in ("there", "here"))
    return replace(step, room=room, came=came, went=went)


async def _events(api: Api, viewer: str) -> int:
    """How many events the profile has; 0 for a viewer whom nobody knows."""
    try:
        return (await api.viewer(viewer)).total_events
    except UnknownViewer:
        return 0
