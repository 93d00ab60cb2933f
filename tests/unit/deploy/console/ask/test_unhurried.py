"""Tests of deploy.console.ask.unhurried: one request at a time for each question, and no tab that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

import pytest

from actors.recommend.schema import Query
from deploy.console.ask.unhurried import REST_S, Landed, Unhurried
from deploy.console.poller import Needs, Poller, key
from deploy.http.client import NotUp
from streaming.clock import ManualClock
from streaming.errors import RequestError
from tests.unit.deploy.console.console_world import MemoryApi, Tab, as_api
from tests.unit.deploy.console.test_poller import polled, rounds

BOB = Query(viewer="bob")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Asking:
    """Questions that are answered by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.news = 0
        self.calls: list[asyncio.Future[str]] = []
        self.unhurried = Unhurried[str, str](self.clock, self._heard)

    def _heard(self) -> None:
        self.news += 1

    async def ask(self, *names: str) -> None:
        self.unhurried.ask(dict.fromkeys(names, self._call))
        await settle()

    def _call(self) -> Awaitable[str]:
        self.calls.append(asyncio.get_running_loop().create_future())
        return self.calls[-1]

    async def land(self, answer: str | Exception) -> None:
        if isinstance(answer, Exception):
            self.calls[-1].set_exception(answer)
        else:
            self.calls[-1].set_result(answer)
        await settle()


def played(scene: Callable[[Asking], Awaitable[None]]) -> None:
    async def main() -> None:
        await scene(Asking())

    asyncio.run(main())


def test_a_question_under_way_is_not_asked_again() -> None:
    async def scene(asking: Asking) -> None:
        await asking.ask("a")
        await asking.ask("a")
        assert len(asking.calls) == 1
        await asking.land("one")
        await asking.ask("a")
        assert len(asking.calls) == 2
        assert asking.unhurried.landed == {"a": Landed("one")}, "it stays until the next one"

    played(scene)


def test_only_what_is_new_is_news() -> None:
    async def scene(asking: Asking) -> None:
        await asking.ask("a")
        await asking.land("one")
        await asking.ask("a")
        await asking.land("two")
        assert asking.news == 1
        await asking.ask("a")
        await asking.land(NotUp("slow"))
        assert asking.news == 2
        assert asking.unhurried.landed["a"].answer == "two", "it stays while the Encoder is slow"
        await asking.ask("a")
        await asking.land("three")
        assert asking.news == 3

    played(scene)


def test_what_was_refused_rests_and_what_failed_does_not() -> None:
    async def scene(asking: Asking) -> None:
        await asking.ask("a")
        await asking.land(NotUp("slow"))
        await asking.ask("a")
        assert len(asking.calls) == 2
        await asking.land(RequestError("no", field="", allowed=""))
        assert asking.unhurried.landed["a"].answer is None
        await asking.ask("a")
        assert len(asking.calls) == 2
        asking.clock.advance(int(REST_S * 1000))
        await asking.ask("a")
        assert len(asking.calls) == 3

    played(scene)


def test_what_nobody_asks_any_more_is_forgotten_also_when_it_lands() -> None:
    async def scene(asking: Asking) -> None:
        await asking.ask("a")
        await asking.ask()
        await asking.land("late")
        assert (asking.unhurried.landed, asking.news) == ({}, 0)

    played(scene)


def test_a_bug_in_one_question_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(asking: Asking) -> None:
        await asking.ask("a")
        await asking.land(ZeroDivisionError("a bug"))
        await asking.ask("a")
        assert len(asking.calls) == 2

    with caplog.at_level(logging.ERROR):
        played(scene)
    assert "a question could not be asked" in caplog.text


def test_a_text_that_waits_for_the_encoder_holds_up_no_other_tab() -> None:
    api = MemoryApi(lists={"bob": ["r1", "r2"]})
    live, ask = Tab(Needs(rooms=True)), Tab(Needs(searches=("chess",), steered=(BOB,)))

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        api.encoder.clear()
        poller.watch(live)
        poller.watch(ask)
        await rounds(poller, 3)
        assert live.shown[-1].rooms
        assert api.asked["search chess"] == api.asked["compare bob"] == 1
        assert ask.shown[-1].found["chess"] == Landed()
        before, told = len(live.shown), len(ask.shown)
        api.encoder.set()
        await settle()
        assert len(ask.shown) > told, "it is told without waiting for a round"
        assert len(live.shown) == before
        assert [one.room for one in (ask.shown[-1].found["chess"].answer or pytest.fail()).rooms] == ["r1"]
        compared = ask.shown[-1].compared[key(BOB)].answer
        assert compared is not None
        assert [one.room for one in compared.steered.rooms] == ["r2", "r1"]
        assert [one.room for one in compared.without.rooms] == ["r1", "r2"]

    polled(api, scene)


def test_a_search_that_is_refused_is_no_failure_of_the_system() -> None:
    api = MemoryApi(refused=RequestError("no", field="q", allowed="a text"))
    ask = Tab(Needs(searches=("?",)))

    async def scene(poller: Poller, _clock: ManualClock) -> None:
        poller.watch(ask)
        await rounds(poller, 2)

    polled(api, scene)
    snapshot = ask.shown[-1]
    assert snapshot.found["?"].error is api.refused
    assert not snapshot.failures
    assert snapshot.answered_at_ms == snapshot.at_ms


def test_a_poller_that_ends_waits_for_no_answer() -> None:
    api = MemoryApi()

    async def main() -> None:
        api.encoder.clear()
        poller = Poller(as_api(api), ManualClock())
        task = asyncio.create_task(poller.run())
        poller.watch(Tab(Needs(searches=("chess",), steered=(BOB,))))
        await rounds(poller, 1)
        assert len(asyncio.all_tasks()) == 4
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1, "both requests have ended with it"

    asyncio.run(main())
