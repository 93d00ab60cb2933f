"""A rule on its way to the lists: written, known to a replica, and what moved. Never draws."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from deploy.console.api import Api
from deploy.console.following.watch import Watch, lists
from deploy.console.list_moves import places
from streaming.clock import Clock
from streaming.errors import RequestError, TidecastError
from tidecast_client import Answer, Query, Rule, RuleBody

GIVE_UP_S = 30.0
SETTLE_S = 0.6  # another replica may answer than the one that was seen to know it
LATE = f"no replica that was asked knows it after {GIVE_UP_S:.0f} s; Health shows the lag of rules"


@dataclass(frozen=True, slots=True)
class Effect:
    """What became of one list. ruled: its rooms that the rule has moved. moved: other places than before.

    came, went: rooms that were not in it, and that are not any more. Rooms move by themselves as well.
    """

    viewer: str
    version: str
    ruled: int
    came: int
    went: int
    moved: int


@dataclass(frozen=True, slots=True)
class RuleStep:
    """How far a change of a rule has come. Times in ms since it was sent; None: not yet. deletes: it ends the rule."""

    name: str
    deletes: bool
    written_ms: float | None = None  # the log has it
    known_ms: float | None = None  # the replica that was asked goes by it
    effects: Sequence[Effect] | None = None
    failure: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return bool(self.failure) or self.effects is not None


@dataclass(frozen=True, slots=True)
class _Change:
    """write: returns the time at which the log has it, in ms. is_known: whether a replica's rule is by that time's."""

    write: Callable[[], Awaitable[int]]
    is_known: Callable[[Rule | None, int], bool]


def put(api: Api, clock: Clock, name: str, body: RuleBody, queries: Sequence[Query]) -> AsyncIterator[RuleStep]:
    """Puts a rule and follows it into the answers to `queries`; yields each step, the last one `ended`.

    Raises nothing of Tidecast's.
    """

    async def write() -> int:
        return (await api.put_rule(name, body)).put_at_ms

    def is_known(rule: Rule | None, put_at_ms: int) -> bool:
        return rule is not None and rule.put_at_ms >= put_at_ms

    return _follow(api, clock, RuleStep(name, deletes=False), _Change(write, is_known), queries)


def delete(api: Api, clock: Clock, name: str, queries: Sequence[Query]) -> AsyncIterator[RuleStep]:
    """Deletes a rule and follows that, as `put` does. One of the configuration counts again, if there is one."""

    async def write() -> int:
        return (await api.delete_rule(name)).deleted_at_ms

    def is_known(rule: Rule | None, deleted_at_ms: int) -> bool:
        return rule is None or rule.origin == "configuration" or rule.put_at_ms > deleted_at_ms

    return _follow(api, clock, RuleStep(name, deletes=True), _Change(write, is_known), queries)


def what_to_do(err: TidecastError) -> str:
    """An error in words, with what may stand there where the API has said so."""
    if isinstance(err, RequestError) and err.allowed:
        return f"{err}. {err.field or 'Allowed'}: {err.allowed}"
    return str(err)


async def _follow(
    api: Api, clock: Clock, step: RuleStep, change: _Change, queries: Sequence[Query]
) -> AsyncIterator[RuleStep]:
    try:
        before = await lists(api, queries)
        watch = Watch(clock)
        at_ms = await change.write()
        step = replace(step, written_ms=watch.passed_ms)
        yield step

        async def is_known() -> bool:
            return change.is_known(await api.rule(step.name), at_ms)

        if not await watch.comes(is_known, GIVE_UP_S):
            yield replace(step, failure=LATE)
            return
        step = replace(step, known_ms=watch.passed_ms)
        yield step
        await asyncio.sleep(SETTLE_S)
        after = await lists(api, queries)
        effects = [_effect(step.name, query, *lists) for query, *lists in zip(queries, before, after, strict=True)]
        yield replace(step, effects=tuple(effects))
    except TidecastError as err:
        yield replace(step, failure=what_to_do(err))


def _effect(name: str, query: Query, before: Answer, after: Answer) -> Effect:
    found = places(after.rooms, before.rooms).values()
    return Effect(
        query.viewer,
        query.version,
        ruled=sum(item.rule == name for item in after.rooms),
        came=sum(place.there is None for place in found),
        went=sum(place.here is None for place in found),
        moved=sum(place.moved for place in found if place.here is not None and place.there is not None),
    )
