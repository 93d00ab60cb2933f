"""Tests of deploy.console.following.chat_line: from the line to the receipt, and whose list moved."""

from __future__ import annotations

import asyncio

import pytest

from actors.recommend.schema import Query
from deploy.console.following import chat_line, watch
from deploy.console.following.chat_line import Progress, follow, moves, place_words
from deploy.console.list_moves import Place
from streaming.clock import ManualClock
from streaming.events import ChatMessage
from tests.unit.deploy.console.console_world import MemoryApi, answer, as_api, receipt, room

LINE = ChatMessage(room="r1", viewer="ann", text="hello", at_ms=1_600_000_000_000)
LOOKS = 3


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(chat_line, "SETTLE_S", 0)


def followed(api: MemoryApi, clock: ManualClock, *viewers: str) -> list[Progress]:
    async def main() -> list[Progress]:
        queries = [Query(viewer=viewer) for viewer in viewers]
        return [step async for step in follow(as_api(api), clock, LINE, queries)]

    return asyncio.run(main())


def test_the_stopwatch_ends_at_the_first_receipt_that_reaches_the_line() -> None:
    clock = ManualClock()
    api = MemoryApi(rooms_live=[room(receipt=receipt(clock.now_ms() - 1))], lists={"bob": ["r2", "r1"]})

    def on_ask(what: str) -> None:
        if what == "room":
            clock.advance(100)
            if api.asked["room"] == LOOKS:
                api.rooms_live = [room(receipt=receipt(api.written[0].at_ms))]
                api.lists["bob"] = ["r1", "r2"]

    api.on_ask = on_ask
    steps = followed(api, clock, "bob")
    assert [step.ended for step in steps] == [False, False, True]
    assert steps[-1].written_ms == 0
    assert steps[-1].covered_ms == pytest.approx(LOOKS * 100)
    assert api.written[0].at_ms == 1_700_000_000_000, "the line's time is that of its sending"
    (moved,) = steps[-1].moves or ()
    assert (moved.viewer, moved.place, moved.others) == ("bob", Place(1, 2), 0)


def test_a_room_that_is_not_live_a_refused_line_and_an_encoder_that_is_late_are_said() -> None:
    clock = ManualClock()
    assert "room r1 is not live" in followed(MemoryApi(rooms_live=[]), clock)[-1].failure
    assert followed(MemoryApi(down="not up"), clock)[-1].failure == "not up"
    late = MemoryApi(rooms_live=[room(receipt=receipt(0))])
    late.on_ask = lambda _what: clock.advance(10_000)
    failure = followed(late, clock)[-1].failure
    assert "no receipt has reached the line after 60 s" in failure


def test_what_comes_or_goes_moves_nobody_else() -> None:
    before, after = answer("bob", "r2", "r3", "r4"), answer("bob", "r1", "r2", "r3")
    (moved,) = moves("r1", [before], [after])
    assert (moved.place, moved.others) == (Place(1, None), 0)
    (moved,) = moves("r1", [before], [answer("bob", "r3", "r2", "r4")])
    assert (moved.place, moved.others) == (Place(None, None), 2)


def test_places_are_said_in_words() -> None:
    assert place_words(Place(3, 7), 20) == "7 → 3"
    assert place_words(Place(3, 3), 20) == "3"
    assert place_words(Place(1, None), 20) == "not in the first 20 → 1"
    assert place_words(Place(None, None), 20) == "not in the first 20"
