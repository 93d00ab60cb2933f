"""A viewer whom the replica let go is asked for, in time or not at all; while all are held nobody is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from actors.recommend.recommender import Query
from actors.settings import RecommendConfig
from deploy.serve.profile_lookup import Lookup
from streaming.events import ViewerId
from streaming.log.partitioner import partition_of
from tests.unit.actors.replica import Replica

GONE = ViewerId("gone")
Ask = Callable[[str, int], Awaitable[bytes | None]]


class Case:
    """A replica that has let `gone` go, with its profile at hand as the worker would send it."""

    def __init__(self, ask: Ask | None = None, config: RecommendConfig | None = None, *, evicts: bool = True) -> None:
        self.replica = Replica()
        self.replica.room("a")
        self.replica.room("b")
        self.replica.viewer(GONE, "a")
        raw = self.replica.tables.viewers.raw(GONE)
        assert raw is not None
        self.profile = raw
        self.asked: list[tuple[str, int]] = []
        viewers = self.replica.tables.viewers
        if evicts:
            viewers._budget_bytes = 1
            self.replica.viewer("other", "b")
            viewers._budget_bytes = 1_000_000
        self.lookup = Lookup(
            ask or self.answer, lambda: 4, self.replica.tables, config or RecommendConfig(), self.replica.metrics
        )

    async def answer(self, viewer: str, partition: int) -> bytes | None:
        self.asked.append((viewer, partition))
        return self.profile if viewer == GONE else None

    def fetch(self, viewer: str) -> None:
        asyncio.run(self.lookup.fetch(viewer))

    def known(self, viewer: str) -> bool:
        return self.replica.recommender.recommend(Query(viewer=viewer)).known

    def count(self, outcome: str) -> float:
        return self.replica.metrics.value("viewer_lookups_total", outcome=outcome)


def test_nobody_is_asked_while_every_profile_is_held() -> None:
    case = Case(evicts=False)
    assert not case.lookup.wanted("nobody")
    assert not case.lookup.wanted(GONE)


def test_after_an_eviction_only_those_are_wanted_who_are_not_held() -> None:
    case = Case()
    assert case.lookup.wanted(GONE)
    assert case.lookup.wanted("nobody")
    assert not case.lookup.wanted("other")


def test_a_profile_that_is_found_makes_the_viewer_known_and_is_held() -> None:
    case = Case()
    assert not case.known(GONE)
    case.fetch(GONE)
    assert case.known(GONE)
    assert not case.lookup.wanted(GONE)
    assert case.asked == [(GONE, partition_of(b"gone", 4))]
    assert case.count("found") == 1


def test_a_viewer_whom_the_worker_does_not_know_is_a_stranger() -> None:
    case = Case()
    case.fetch("nobody")
    assert not case.known("nobody")
    assert case.count("none") == 1


def test_past_the_deadline_the_viewer_is_a_stranger() -> None:
    async def never(_viewer: str, _partition: int) -> bytes | None:
        await asyncio.Event().wait()
        return None

    case = Case(never, RecommendConfig(lookup_timeout_ms=1))
    case.fetch(GONE)
    assert not case.known(GONE)
    assert case.count("late") == 1


def test_a_worker_that_fails_is_counted_and_raises_nothing() -> None:
    async def fail(_viewer: str, _partition: int) -> bytes | None:
        raise RuntimeError("the replica died")

    case = Case(fail)
    case.fetch(GONE)
    assert case.count("failed") == 1


def test_a_profile_that_the_log_brought_meanwhile_is_not_replaced() -> None:
    case = Case()

    async def overtaken(viewer: str, partition: int) -> bytes | None:
        case.replica.viewer(GONE, "a", "b")
        return case.profile

    case.lookup = Lookup(overtaken, lambda: 4, case.replica.tables, RecommendConfig(), case.replica.metrics)
    case.fetch(GONE)
    held = case.replica.tables.viewers.raw(GONE)
    assert held is not None
    assert held != case.profile


def test_lookups_in_flight_are_bounded() -> None:
    opened: list[asyncio.Event] = []

    async def wait(_viewer: str, _partition: int) -> bytes | None:
        await opened[0].wait()
        return None

    case = Case(wait, RecommendConfig(lookup_timeout_ms=5_000, lookups_in_flight=2))

    async def five() -> None:
        opened.append(asyncio.Event())
        tasks = [asyncio.create_task(case.lookup.fetch(f"v{number}")) for number in range(5)]
        while case.count("refused") < 3:
            await asyncio.sleep(0)
        opened[0].set()
        await asyncio.gather(*tasks)
        await case.lookup.fetch("later")

    asyncio.run(five())
    assert case.count("refused") == 3
    assert case.count("none") == 3


@pytest.mark.parametrize("config", [RecommendConfig(lookup_timeout_ms=0), RecommendConfig(lookups_in_flight=0)])
def test_it_can_be_switched_off(config: RecommendConfig) -> None:
    assert not Case(config=config).lookup.wanted(GONE)
