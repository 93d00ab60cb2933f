"""Tests of deploy.console.following.viewer_event: from the event to the profile, and what the list became."""

from __future__ import annotations

import asyncio

import pytest

from actors.recommend.schema import Query
from deploy.console.following import viewer_event, watch
from deploy.console.following.viewer_event import ACTIONS, Step, follow
from deploy.console.list_moves import Place
from streaming.clock import ManualClock
from streaming.events import ViewerEvent
from tests.unit.deploy.console.console_world import MemoryApi, as_api, room

EVENT = ViewerEvent(viewer="bob", room="r1", streamer="STREAMER", action="hide_room", at_ms=1_600_000_000_000)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(viewer_event, "SETTLE_S", 0)


def followed(api: MemoryApi, clock: ManualClock, event: ViewerEvent = EVENT) -> list[Step]:
    async def main() -> list[Step]:
        return [step async for step in follow(as_api(api), clock, event, Query(viewer=event.viewer))]

    return asyncio.run(main())


def test_the_stopwatch_ends_when_the_profile_has_it_and_the_list_is_compared() -> None:
    clock = ManualClock()
    api = MemoryApi(lists={"bob": ["r1", "r2", "r3"]}, events={"bob": 7})

    def on_ask(what: str) -> None:
        if what == "viewer bob" and api.done:
            clock.advance(100)
            if api.asked[what] == 4:
                api.events["bob"], api.lists["bob"] = 8, ["r3", "r2", "r4"]

    api.on_ask = on_ask
    steps = followed(api, clock)
    assert [step.ended for step in steps] == [False, False, True]
    last = steps[-1]
    assert (last.written_ms, last.known_ms) == (0, pytest.approx(300))
    assert last.room is not None
    assert (last.room.place, last.room.others) == (Place(None, 1), 2)
    assert (last.came, last.went) == (1, 0)
    assert api.done[0].streamer == "r1-s", "as the room has it"
    assert api.done[0].at_ms == clock.now_ms() - 300, "the event's time is that of its sending"


def test_a_viewer_whom_nobody_knew_gets_a_profile() -> None:
    clock, api = ManualClock(), MemoryApi(lists={"bob": []})
    api.on_ask = lambda what: api.events.update(bob=1) if what == "write_event" else None
    steps = followed(api, clock)
    assert steps[-1].ended
    assert steps[-1].failure == ""


def test_watching_has_a_length_and_a_line_of_chat_is_not_among_the_events() -> None:
    clock, api = ManualClock(), MemoryApi(lists={"bob": []})
    api.on_ask = lambda what: api.events.update(bob=len(api.done) + 1) if what == "write_event" else None
    followed(api, clock, ViewerEvent(viewer="bob", room="r1", streamer="", action="watch", at_ms=1))
    assert api.done[0].seconds > 0
    assert "chat" not in ACTIONS
    assert {"enter", "leave", "follow", "hide_room"} <= set(ACTIONS)


def test_a_room_that_is_gone_a_refusal_and_a_profile_that_is_late_are_said() -> None:
    clock = ManualClock()
    assert "the room has ended" in followed(MemoryApi(rooms_live=[]), clock)[-1].failure
    assert followed(MemoryApi(down="not up"), clock)[-1].failure == "not up"
    late = MemoryApi(rooms_live=[room()], lists={"bob": []}, events={"bob": 3})
    late.on_ask = lambda _what: clock.advance(10_000)
    assert "the profile does not have it after 30 s" in followed(late, clock)[-1].failure
