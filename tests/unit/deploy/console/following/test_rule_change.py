"""Tests of deploy.console.following.rule_change: from the rule to a replica that goes by it, and to the lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from actors.recommend.schema import Query
from deploy.console.following import rule_change, watch
from deploy.console.following.rule_change import Effect, RuleStep, delete, put
from streaming.clock import ManualClock
from streaming.errors import RequestError
from tests.unit.deploy.console.console_world import AT_MS, MemoryApi, as_api, rule
from tidecast_client import RuleBody

HIDE = RuleBody(action="hide", rooms=["r1"])
BOB, BY_V0 = Query(viewer="bob"), Query(viewer="bob", version="v0")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(rule_change, "SETTLE_S", 0)


def followed(steps: Callable[[], AsyncIterator[RuleStep]]) -> list[RuleStep]:
    async def main() -> list[RuleStep]:
        return [step async for step in steps()]

    return asyncio.run(main())


def test_a_rule_is_followed_to_the_replica_that_knows_it_and_to_each_list() -> None:
    clock = ManualClock()
    api = MemoryApi(lists={"bob": ["r1", "r2", "r3"]}, ruled={"quiet": rule("quiet", put_at_ms=AT_MS - 1)})

    def on_ask(what: str) -> None:
        if what == "rule quiet":
            clock.advance(100)
            if api.asked[what] == 3:
                api.ruled["quiet"], api.lists["bob"] = rule("quiet"), ["r3", "r2", "r4"]

    api.on_ask = on_ask
    steps = followed(lambda: put(as_api(api), clock, "quiet", HIDE, [BOB, BY_V0]))
    assert [step.ended for step in steps] == [False, False, True]
    last = steps[-1]
    assert (last.written_ms, last.known_ms) == (0, pytest.approx(300)), "the rule before is not the one that was put"
    assert last.effects == (
        Effect("bob", "", ruled=0, came=1, went=1, moved=1),
        Effect("bob", "v0", ruled=0, came=1, went=1, moved=1),
    )
    assert api.bodies == [HIDE]


def test_a_rule_that_is_deleted_is_gone_or_the_configurations_or_a_later_one() -> None:
    for after in (None, rule("quiet", origin="configuration", put_at_ms=0), rule("quiet", put_at_ms=AT_MS + 1)):
        clock, api = ManualClock(), MemoryApi(lists={"bob": []}, ruled={"quiet": rule("quiet")})

        def on_ask(what: str, api: MemoryApi = api, clock: ManualClock = clock, after: object = after) -> None:
            clock.advance(100)
            if what == "rule quiet" and api.asked[what] == 2:
                api.ruled = {} if after is None else {"quiet": after}  # type: ignore[dict-item]

        api.on_ask = on_ask
        last = followed(lambda api=api, clock=clock: delete(as_api(api), clock, "quiet", [BOB]))[-1]  # type: ignore[misc]
        assert (last.deletes, last.failure) == (True, "")
        assert api.asked["rule quiet"] == 2
        assert api.asked["delete quiet"] == 1


def test_a_refusal_says_what_may_stand_there_and_a_rule_that_is_late_is_said() -> None:
    clock, api = ManualClock(), MemoryApi(lists={"bob": []})

    def refuse(what: str) -> None:
        if what == "put quiet":
            raise RequestError("a weight of 99", field="weight", allowed="a number up to 20")

    api.on_ask = refuse
    (refused,) = followed(lambda: put(as_api(api), clock, "quiet", HIDE, [BOB]))
    assert refused.failure == "a weight of 99. weight: a number up to 20"
    assert refused.written_ms is None
    (away,) = followed(lambda: put(as_api(MemoryApi(down="not up")), clock, "quiet", HIDE, [BOB]))
    assert away.failure == "not up"
    late = MemoryApi(lists={"bob": []})
    late.on_ask = lambda _what: clock.advance(10_000)
    last = followed(lambda: put(as_api(late), clock, "quiet", HIDE, [BOB]))[-1]
    assert "knows it after 30 s" in last.failure
