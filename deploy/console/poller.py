"""The one poller of the console: asks the API for all tabs together, and not at all while nobody looks.

Never draws. For the event loop alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import msgspec

from deploy.console.api import Api
from deploy.console.ask.steer_effect import Compared
from deploy.console.ask.unhurried import Landed, Unhurried
from deploy.console.history import CHAT_TOP, DRIFT_TOP, RoomLines, SystemFigures
from deploy.console.map_trails import MapTrails
from deploy.http.client import NoAccess
from deploy.http.prometheus_text import Exposition
from deploy.http.status import SystemStatus
from streaming.clock import Clock
from streaming.errors import TidecastError, UnknownRoom
from tidecast_client import Answer, ListedVersions, Query, Readiness, Room, RoomMap, Rule, SearchAnswer

LOGGER = logging.getLogger(__name__)

EVERY_S = 1.0  # a chat line is servable within one
SLOW_EVERY_S = 2.0  # processes post once a second, a page of metrics takes some 15 ms to read, a map to draw
SLOW = ("status", "metrics", "map", "viewers", "versions", "rules")
ASIDE = frozenset({"map", "viewers", "versions", "rules"})  # what a key may not see is no failure of the system
REST_S = 60.0  # before that is asked for again: each refusal is counted there


@dataclass(frozen=True, slots=True)
class Needs:
    """What a page shows, and so what is polled for it. Every page shows the readiness."""

    rooms: bool = False
    state: bool = False  # processes, metrics and the models' versions
    map: bool = False  # rooms by content, and their drift
    viewers: bool = False  # names of some that are known
    rules: bool = False  # operators'
    queries: tuple[Query, ...] = ()
    searches: tuple[str, ...] = ()  # texts to find rooms by
    steered: tuple[Query, ...] = ()  # each is asked for without its steer as well

    @property
    def may_wait(self) -> bool:
        """Whether it shows what the Encoder may have to be asked for."""
        return bool(self.searches or self.steered)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The newest answers. An answer stays until the next one; `failures` says what could not be had, and why."""

    at_ms: int = 0
    answered_at_ms: int = 0  # when everything that was asked for was last answered
    readiness: Readiness | None = None
    rooms: Sequence[Room] = ()
    rooms_at_ms: int = 0  # 0: not asked yet
    map: RoomMap | None = None
    map_at_ms: int = 0  # 0: not asked yet
    viewers: Sequence[str] | None = None  # known ones, the latest first; None: not asked yet
    rules: Sequence[Rule] | None = None  # operators'; None: not asked yet
    status: SystemStatus | None = None
    versions: ListedVersions | None = None
    metrics: Exposition | None = None
    answers: Mapping[bytes, Answer] = field(default_factory=dict)  # by `key`
    found: Mapping[str, Landed[SearchAnswer]] = field(default_factory=dict)  # by the text
    compared: Mapping[bytes, Landed[Compared]] = field(default_factory=dict)  # by `key` of the steered query
    failures: Mapping[str, str] = field(default_factory=dict)  # by what was asked for
    chat_refusal: str | None = None  # why no chat is taken over HTTP, "" where it is; None: not known yet


class Watcher(Protocol):
    """A tab. Asked on the event loop, between two rounds."""

    @property
    def gone(self) -> bool:
        """Whether it was closed, and is to be forgotten."""

    @property
    def looks(self) -> bool:
        """Whether anybody can see it now."""

    @property
    def needs(self) -> Needs:
        """What it shows."""

    def show(self, snapshot: Snapshot) -> None:
        """Shows the newest answers. An error in it is logged, and ends nothing."""


def key(query: Query) -> bytes:
    """What an answer is found by in a snapshot."""
    return msgspec.json.encode(query)


def listed(query: Query) -> str:
    """What a viewer's list is called in a snapshot's failures: of two lists of one viewer only one may have failed."""
    return f"list {key(query).decode()}"


class Poller:
    """Asks once for all watchers that look, and tells each. Sleeps while none does."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._watchers: list[Watcher] = []
        self._woken = asyncio.Event()
        self._due_s = dict.fromkeys(SLOW, 0.0)
        self.snapshot = Snapshot()
        self.rates = RoomLines(CHAT_TOP)
        self.drifts = RoomLines(DRIFT_TOP)
        self.trails = MapTrails()
        self.system = SystemFigures()
        self.rounds = 0
        self._searches = Unhurried[str, SearchAnswer](clock, self._landed)
        self._steered = Unhurried[bytes, Compared](clock, self._landed)

    def watch(self, watcher: Watcher) -> None:
        """Serves a watcher from now on, until it is gone."""
        self._watchers.append(watcher)
        self.wake()

    def wake(self) -> None:
        """Begins a round now: somebody looks again, or looks at something else."""
        self._due_s = dict.fromkeys(SLOW, 0.0)
        self._woken.set()

    async def run(self) -> None:
        """Polls until it is cancelled."""
        try:
            await self._poll()
        finally:
            await self._searches.close()
            await self._steered.close()

    async def _poll(self) -> None:
        while True:
            self._woken.clear()
            began_s = self._clock.monotonic_s()
            if watchers := self._looking():
                try:
                    await self._round([watcher.needs for watcher in watchers])
                except Exception:  # a bug must not stop the clock of all tabs
                    LOGGER.exception("the system could not be asked")
                for watcher in self._looking():
                    self.tell(watcher)
            left_s = max(0.05, EVERY_S - (self._clock.monotonic_s() - began_s)) if watchers else None
            try:
                async with asyncio.timeout(left_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def tell(self, watcher: Watcher) -> None:
        """Shows the newest answers to a watcher."""
        try:
            watcher.show(self.snapshot)
        except Exception:  # one tab's error must not take the others' picture away
            LOGGER.exception("a page could not be drawn")

    def _looking(self) -> list[Watcher]:
        self._watchers = [watcher for watcher in self._watchers if not watcher.gone]
        return [watcher for watcher in self._watchers if watcher.looks]

    def _landed(self) -> None:
        """Shows what did not wait for a round."""
        self.snapshot = replace(self.snapshot, found=self._searches.landed, compared=self._steered.landed)
        for watcher in self._looking():
            if watcher.needs.may_wait:
                self.tell(watcher)

    async def _round(self, needs: Sequence[Needs]) -> None:
        """Asks for everything that is needed, all at once, and replaces the snapshot."""
        self.rounds += 1
        now_s, before, api = self._clock.monotonic_s(), self.snapshot, self._api
        asked: dict[str, Callable[[], Awaitable[Any]]] = {"readiness": api.readiness}
        if any(need.rooms for need in needs):
            asked["rooms"] = api.rooms
        slow: dict[str, Callable[[], Awaitable[Any]]] = {}
        if any(need.state for need in needs):
            slow |= {"status": api.status, "metrics": api.metrics, "versions": api.versions}
        if any(need.map for need in needs):
            slow["map"] = partial(api.room_map, before.map.axes if before.map is not None else "")
        if any(need.viewers for need in needs):
            slow["viewers"] = api.viewers
        if any(need.rules for need in needs):
            slow["rules"] = api.rules
        for name, call in slow.items():
            if now_s >= self._due_s[name]:
                self._due_s[name] = now_s + SLOW_EVERY_S - EVERY_S / 2
                asked[name] = call
        if before.chat_refusal is None:
            asked["chat_refusal"] = api.chat_refusal
        self._searches.ask({text: partial(api.search, text) for need in needs for text in need.searches})
        self._steered.ask({key(query): partial(api.compare, query) for need in needs for query in need.steered})
        queries = {key(query): query for need in needs for query in need.queries}
        fresh: dict[str, Any] = {}
        answers = {name: before.answers[name] for name in queries if name in before.answers}
        failures = {what: why for what, why in before.failures.items() if what in slow and what not in asked}

        async def ask(into: dict[Any, Any], name: str | bytes, what: str, call: Callable[[], Awaitable[Any]]) -> None:
            try:
                into[name] = await call()
            except TidecastError as err:
                failures[what] = str(err)
                if what in ASIDE and isinstance(err, NoAccess | UnknownRoom):  # not for this key; or no such path
                    self._due_s[what] = now_s + REST_S

        await asyncio.gather(
            *(ask(fresh, name, name, call) for name, call in asked.items()),
            *(ask(answers, name, listed(query), partial(api.recommend, query)) for name, query in queries.items()),
        )
        self._take(fresh, answers, failures)

    def _take(self, fresh: dict[str, Any], answers: Mapping[bytes, Answer], failures: Mapping[str, str]) -> None:
        at_s, at_ms = self._clock.monotonic_s(), self._clock.now_ms()
        if "rooms" in fresh:
            fresh["rooms_at_ms"] = at_ms
            self.rates.add(at_s, {room.room: room.chat_per_minute for room in fresh["rooms"]})
        if "map" in fresh:
            fresh["map_at_ms"] = at_ms
            self.trails.add(at_s, fresh["map"])
            self.drifts.add(at_s, {one.room: one.drift for one in fresh["map"].rooms if one.drift is not None})
        if "metrics" in fresh:
            self.system.add(at_s, at_ms, fresh["metrics"])
        if not set(failures) - ASIDE:
            fresh["answered_at_ms"] = at_ms
        if "readiness" in failures:
            fresh["chat_refusal"] = None  # what comes back may be another version of it
        fresh |= {"found": self._searches.landed, "compared": self._steered.landed}
        self.snapshot = replace(self.snapshot, at_ms=at_ms, answers=answers, failures=failures, **fresh)
