"""Tests of deploy.console.poller: one question for all tabs, and none while nobody looks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from actors.recommend.schema import Query
from deploy.console.poller import REST_S, SLOW_EVERY_S, Needs, Poller, key, listed
from deploy.http.client import NoAccess
from streaming.clock import ManualClock
from streaming.errors import RequestError
from tests.unit.deploy.console.console_world import MemoryApi, Tab, as_api, rule

BOB = Query(viewer="bob")


def polled(api: MemoryApi, scene: Callable[[Poller, ManualClock], Awaitable[None]]) -> Poller:
    """A poller at work while a scene is played."""
    clock = ManualClock()
    made: list[Poller] = []

    async def main() -> None:
        poller = Poller(as_api(api), clock)
        made.append(poller)
        task = asyncio.create_task(poller.run())
        await scene(poller, clock)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    return made[0]


async def rounds(poller: Poller, count: int) -> None:
    """Lets so many further rounds happen, at once."""
    until = poller.rounds + count
    while poller.rounds < until:
        poller.wake()
        await asyncio.sleep(0)
    for _ in range(20):  # its answers arrive, and are shown
        await asyncio.sleep(0)


def test_ten_tabs_ask_as_often_as_one() -> None:
    api = MemoryApi(lists={"bob": ["r1"]})
    tabs = [Tab(Needs(rooms=True, queries=(BOB,))) for _ in range(10)]

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        for tab in tabs:
            poller.watch(tab)
        await rounds(poller, 3)

    poller = polled(api, scene)
    assert api.asked["rooms"] == api.asked["list bob"] == api.asked["readiness"] == poller.rounds
    assert all(tab.shown[-1].answers[key(BOB)].rooms[0].room == "r1" for tab in tabs)


def test_each_tab_has_the_lists_that_it_shows() -> None:
    api = MemoryApi(lists={"bob": ["r1"], "ann": ["r2"]})
    ann = Query(viewer="ann", exclude=["r9"])
    one, other = Tab(Needs(queries=(BOB,))), Tab(Needs(queries=(ann,)))

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(one)
        poller.watch(other)
        await rounds(poller, 1)

    polled(api, scene)
    assert one.shown[-1].answers[key(BOB)].rooms[0].room == "r1"
    assert other.shown[-1].answers[key(ann)].rooms[0].room == "r2"


def test_nobody_who_looks_is_nothing_asked() -> None:
    api = MemoryApi()
    hidden, closed = Tab(Needs(rooms=True), looks=False), Tab(Needs(rooms=True), gone=True)

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(hidden)
        poller.watch(closed)
        for _ in range(20):
            poller.wake()
            await asyncio.sleep(0)
        assert not api.asked
        hidden.looks = True
        await rounds(poller, 1)

    polled(api, scene)
    assert api.asked["rooms"]
    assert hidden.shown
    assert not closed.shown


def test_only_what_is_shown_is_asked_for() -> None:
    api = MemoryApi()

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(Tab(Needs(queries=(BOB,))))
        await rounds(poller, 1)

    polled(api, scene)
    assert set(api.asked) == {"readiness", "chat_refusal", "list bob"}


def test_state_is_asked_for_less_often_and_at_once_where_somebody_comes() -> None:
    api = MemoryApi()

    async def scene(poller: Poller, clock: ManualClock) -> None:
        poller.watch(Tab(Needs(state=True)))
        await rounds(poller, 1)
        asked = api.asked["status"]
        assert asked >= 1
        clock.advance(int(SLOW_EVERY_S * 1000))
        await rounds(poller, 1)
        assert api.asked["status"] > asked

    polled(api, scene)
    assert api.asked["status"] == api.asked["metrics"]


def test_a_map_is_asked_for_with_the_axes_of_the_one_before() -> None:
    api, tab = MemoryApi(), Tab(Needs(map=True))

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(tab)
        await rounds(poller, 3)

    poller = polled(api, scene)
    assert api.asked["map "] == 1
    assert api.asked["map a"] == poller.rounds - 1
    assert tab.shown[-1].map is not None
    assert tab.shown[-1].map_at_ms


def test_what_a_key_may_not_see_is_rarely_asked_for_and_no_failure_of_the_system() -> None:
    api, tab = MemoryApi(), Tab(Needs(viewers=True))

    def on_ask(what: str) -> None:
        if what == "viewers":
            raise NoAccess("this needs admin")

    api.on_ask = on_ask

    async def scene(poller: Poller, clock: ManualClock) -> None:
        poller.watch(tab)
        await rounds(poller, 1)
        poller.wake = poller._woken.set  # type: ignore[method-assign]
        asked = api.asked["viewers"]
        for _ in range(5):
            clock.advance(int(SLOW_EVERY_S * 1000))
            await rounds(poller, 1)
        assert api.asked["viewers"] == asked
        clock.advance(int(REST_S * 1000))
        await rounds(poller, 1)
        assert api.asked["viewers"] == asked + 1

    polled(api, scene)
    assert tab.shown[-1].failures == {"viewers": "this needs admin"}
    assert tab.shown[-1].answered_at_ms == tab.shown[-1].at_ms


def test_an_answer_stays_while_the_system_is_away_and_the_reason_is_said() -> None:
    api = MemoryApi()
    tab = Tab(Needs(rooms=True, queries=(BOB,)))

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(tab)
        await rounds(poller, 1)
        api.down = "nothing answers"
        await rounds(poller, 1)
        gone = tab.shown[-1]
        assert gone.rooms, "what was known stays"
        assert gone.failures["rooms"] == gone.failures[listed(BOB)] == "nothing answers"
        assert gone.chat_refusal is None, "what comes back may be another version"
        api.down = ""
        await rounds(poller, 1)

    polled(api, scene)
    assert tab.shown[-1].failures == {}
    assert tab.shown[-1].chat_refusal == ""
    assert api.asked["chat_refusal"] >= 2


def test_an_error_of_one_page_takes_nothing_from_the_others(caplog: pytest.LogCaptureFixture) -> None:
    broken, well = Tab(Needs(), fails=True), Tab(Needs())

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(broken)
        poller.watch(well)
        await rounds(poller, 2)

    polled(MemoryApi(), scene)
    assert len(well.shown) >= 2
    assert "a page could not be drawn" in caplog.text


def test_a_bug_while_asking_stops_no_clock(caplog: pytest.LogCaptureFixture) -> None:
    api, tab = MemoryApi(), Tab(Needs(rooms=True))

    def on_ask(what: str) -> None:
        if what == "rooms" and api.asked["rooms"] == 1:
            raise ZeroDivisionError("a bug")

    api.on_ask = on_ask

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(tab)
        await rounds(poller, 2)

    polled(api, scene)
    assert tab.shown[-1].rooms
    assert "the system could not be asked" in caplog.text


def test_a_list_that_fails_by_one_version_is_not_said_of_the_others_of_its_viewer() -> None:
    api, wrong = MemoryApi(lists={"bob": ["r1"]}), Query(viewer="bob", version="m7")
    tab = Tab(Needs(queries=(BOB, wrong)))

    def on_ask(what: str) -> None:
        if what == "list bob by m7":
            raise RequestError("'v0' can be asked for", field="version", allowed="v0")

    api.on_ask = on_ask

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(tab)
        await rounds(poller, 1)

    polled(api, scene)
    shown = tab.shown[-1]
    assert shown.failures == {listed(wrong): "'v0' can be asked for"}
    assert listed(BOB) != listed(wrong)
    assert [*shown.answers] == [key(BOB)]


def test_rules_are_asked_for_while_somebody_looks_at_them_and_a_refusal_is_no_failure_of_the_system() -> None:
    api, tab = MemoryApi(ruled={"finals": rule("finals")}), Tab(Needs(rules=True))

    async def scene(poller: Poller, clock: ManualClock) -> None:
        poller.watch(tab)
        await rounds(poller, 1)
        rules = tab.shown[-1].rules
        assert rules is not None
        assert [one.name for one in rules] == ["finals"]

        def refuse(what: str) -> None:
            if what == "rules":
                raise NoAccess("this needs admin")

        api.on_ask = refuse
        clock.advance(5_000)
        await rounds(poller, 1)
        assert tab.shown[-1].failures == {"rules": "this needs admin"}
        assert tab.shown[-1].answered_at_ms == clock.now_ms()
        tab.needs = Needs()
        asked = api.asked["rules"]
        await rounds(poller, 1)
        assert api.asked["rules"] == asked

    polled(api, scene)
