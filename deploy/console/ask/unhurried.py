"""Questions that may wait for the Encoder: one request at a time for each, beside the poller's rounds. Never draws."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from deploy.http.client import NotUp
from streaming.clock import Clock
from streaming.errors import TidecastError

LOGGER = logging.getLogger(__name__)

REST_S = 60.0  # before what was refused is asked again: it would be refused again, and each refusal is counted

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Landed(Generic[T]):
    """What came of a question: its newest answer, and why the last request brought none; None each where not."""

    answer: T | None = None
    error: TidecastError | None = None


class Unhurried(Generic[K, T]):
    """Keeps the newest answer to each question. For the event loop alone.

    A round that waited for these answers would hold up all tabs for as long as the Encoder takes.
    """

    def __init__(self, clock: Clock, news: Callable[[], None]) -> None:
        """news: called when a question is answered for the first time, or fails otherwise than before."""
        self._clock = clock
        self._news = news
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._rests_until_s: dict[K, float] = {}
        self.landed: Mapping[K, Landed[T]] = {}

    def ask(self, questions: Mapping[K, Callable[[], Awaitable[T]]]) -> None:
        """Asks each question of which no request is under way. What came of any other is forgotten."""
        self.landed = {name: self.landed.get(name, Landed()) for name in questions}
        now_s = self._clock.monotonic_s()
        self._rests_until_s = {name: at_s for name, at_s in self._rests_until_s.items() if name in questions}
        for name, call in questions.items():
            if name not in self._tasks and now_s >= self._rests_until_s.get(name, 0.0):
                task = self._tasks[name] = asyncio.create_task(self._ask(name, call))
                task.add_done_callback(lambda done, name=name: self._ended(name, done))  # type: ignore[misc]

    async def close(self) -> None:
        """Waits for no answer any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, name: K, call: Callable[[], Awaitable[T]]) -> None:
        answer: T | None = None
        error: TidecastError | None = None
        try:
            answer = await call()
        except TidecastError as err:
            error = err
        if name not in self.landed:
            return  # nobody wants to know any more
        before = self.landed[name]
        if isinstance(error, NotUp):
            answer = before.answer  # it stays until the next one
        elif error is not None:
            self._rests_until_s[name] = self._clock.monotonic_s() + REST_S
        self.landed = {**self.landed, name: Landed(answer, error)}
        if (before.answer is None) != (answer is None) or str(before.error or "") != str(error or ""):
            self._news()

    def _ended(self, name: K, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)
        if not task.cancelled() and (err := task.exception()) is not None:
            LOGGER.error("a question could not be asked", exc_info=err)
