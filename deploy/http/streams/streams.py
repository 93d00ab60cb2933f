"""All open streams of a replica: whose list is looked at when, and what is pushed. Never computes a list itself.

Lists are looked at one after the other on the event loop, and after each the loop rests for so long that looking takes
`stream.share` of it: an ordinary request waits for one look at most. A stream whose viewer did something, or whose room
ended, comes first. The others have their turn every `stream.period_s`, or later where they are many, and none where
nothing has changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Container
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.recommend.schema import Query
from actors.streams import event_id
from actors.streams.material_change import is_material, margin_of
from deploy.config.stream_settings import StreamConfig
from deploy.http.problem import RefusedError
from deploy.http.route import Write
from deploy.http.streams.event_stream import EventStream
from streaming.events import ViewerId
from streaming.metrics import Metrics

if TYPE_CHECKING:  # with it come the tables and their index, which only a Recommender needs
    from actors.streams.table_changes import Taken

LOGGER = logging.getLogger(__name__)

MOST_OF_VIEWER = 10  # open streams of one viewer: tabs, not a mistake in a loop
LEAST_S = 0.25  # between two looks at one stream, whatever its viewer does
STALE_S = 30.0  # after so long a list is looked at though nothing changed: trends and habits fade
URGENT_REST = 1.0  # times its own duration that the loop rests after a look that was urgent
AT_ONCE = 20  # events written at a stretch, some 30 µs each, before others have their turn
RETRY_MS = (500, 2_500)  # at random: clients of a replica that has ended do not all come back at once
AGAIN = ((b"retry-after", b"5"),)


class Lists(Protocol):
    """The lists that are pushed; `actors.recommend.recommender.Recommender` computes them."""

    def check(self, query: Query) -> None:
        """At once. Raises RequestError: there is no such list."""

    def recommend_news(self, query: Query, further: int, is_news: Callable[[NDArray[np.uint64]], bool]) -> bytes | None:
        """An Answer as JSON where it is news, else None. At once, from memory."""


class Changes(Protocol):
    """What changes in the tables; `actors.streams.table_changes.TableChanges` notes it while somebody watches."""

    def watch(self, viewers: Container[ViewerId], rooms: Container[int], wake: Callable[[], None]) -> None:
        """Begins to note what concerns these; `wake` is called from another thread where something does."""

    def leave(self) -> None:
        """Ends that."""

    def take(self) -> Taken:
        """The watched viewers and rooms with news since the last call. At once."""

    def take_any(self) -> bool:
        """Whether anything at all has changed since the last call. At once."""


class Streams:
    """The open streams of a replica. For one event loop."""

    def __init__(self, lists: Lists, changes: Changes, config: StreamConfig, metrics: Metrics) -> None:
        self._lists = lists
        self._changes = changes
        self._config = config
        self._metrics = metrics
        self._spread = random.Random()
        self._silent: dict[EventStream, float] = {}  # all streams, and when each was last written to; oldest first
        self._of_viewer: dict[ViewerId, set[EventStream]] = {}
        self._of_room: dict[int, set[EventStream]] = {}  # by hash: whose clients have this room in their list
        self._urgent: deque[EventStream] = deque()
        self._later: list[tuple[float, int, EventStream]] = []  # a heap
        self._turns: deque[EventStream] = deque()
        self._numbers = itertools.count()
        self._round_began_s = self._looked_at_all_s = 0.0
        self._is_ending = False
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Number of open streams."""
        return len(self._silent)

    def open(self, query: Query, last_event_id: str = "", max_s: float | None = None) -> EventStream:
        """A stream that is not running yet. last_event_id: what the client says that it has; any text.

        Raises RefusedError: there are too many, or the replica ends; RequestError: there is no such list.
        """
        self._require_room(query)
        self._lists.check(query)
        held = event_id.read(last_event_id, event_id.question_of(query)) if last_event_id else None
        if last_event_id and held is None:
            self._metrics.count("stream_resumes_total", outcome="unknown")
        retry_ms = self._spread.randint(*RETRY_MS)
        stream = EventStream(query, held, retry_ms, self._config.patience_s)
        most_s = self._config.max_s * self._spread.uniform(0.9, 1.0)
        stream.lasts_s = min(most_s, max_s or most_s)
        return stream

    async def run(self, stream: EventStream, write: Write) -> None:
        """Runs a stream to its end."""
        self._add(stream)
        over = asyncio.get_running_loop().call_later(stream.lasts_s, stream.close, "over")
        try:
            await stream.run(write)
        finally:
            over.cancel()
            self._remove(stream)

    def end(self) -> None:
        """Ends all streams, and refuses others: clients come back to another replica."""
        self._is_ending = True
        for stream in self._silent:
            stream.close("ending")

    def _require_room(self, query: Query) -> None:
        reason, detail = "", ""
        if self._is_ending:
            reason, detail = "ending", "this replica ends; ask again"
        elif len(self) >= self._config.most:
            reason, detail = "full", f"{len(self)} streams are open here, as many as there may be (stream.most)"
        if reason:
            self._metrics.count("streams_refused_total", reason=reason)
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=AGAIN)
        if len(self._of_viewer.get(ViewerId(query.viewer), ())) >= MOST_OF_VIEWER:
            self._metrics.count("streams_refused_total", reason="viewer")
            detail = f"{MOST_OF_VIEWER} streams of this viewer are open here"
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, detail, field="viewer", allowed="fewer", headers=AGAIN)

    def _add(self, stream: EventStream) -> None:
        if not self._silent:
            self._round_began_s = self._looked_at_all_s = time.monotonic()
            self._changes.watch(self._of_viewer, self._of_room, self._waker(asyncio.get_running_loop()))
        self._silent[stream] = time.monotonic()
        self._of_viewer.setdefault(stream.viewer, set()).add(stream)
        for room in stream.held or ():
            self._of_room.setdefault(room, set()).add(stream)
        self._metrics.gauge("streams_open", len(self))
        if self._is_ending:
            stream.close("ending")
        self._urgent.append(stream)
        self._wake.set()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    def _remove(self, stream: EventStream) -> None:
        stream.close("left")
        self._forget_rooms(stream)
        of_viewer = self._of_viewer[stream.viewer]
        of_viewer.discard(stream)
        if not of_viewer:
            del self._of_viewer[stream.viewer]
        del self._silent[stream]
        if not self._silent:
            self._changes.leave()
        self._metrics.gauge("streams_open", len(self))
        self._metrics.count("streams_closed_total", reason=str(stream.closed))
        self._wake.set()

    def _waker(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """A call for the tables' thread that wakes the worker."""

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._wake.set)

        return wake

    async def _work(self) -> None:
        """Looks at lists for as long as there are streams."""
        while self._silent:
            try:
                await self._turn()
            except Exception:  # streams that nobody looks at would be worse
                LOGGER.exception("the worker of streams failed")
                await asyncio.sleep(LEAST_S)
        self._worker = None
        for queue in (self._urgent, self._later, self._turns):
            queue.clear()

    async def _turn(self) -> None:
        """Does what is due, looks at one list at most, and then rests, or waits for the next."""
        await self._take_changes()
        await self._keep_alive()
        stream, rest = self._next()
        if stream is not None:
            began_s = time.perf_counter()
            self._look_at(stream)
            await asyncio.sleep((time.perf_counter() - began_s) * rest)
        elif self._silent:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s()):
                    await self._wake.wait()

    async def _take_changes(self) -> None:
        """Takes ended rooms out of lists, and has those looked at that lost a room or whose viewer did something."""
        if not self._wake.is_set():
            return
        self._wake.clear()
        taken = self._changes.take()
        for viewer in taken.viewers:
            for stream in self._of_viewer.get(viewer, ()):
                self._hurry(stream, "viewer")
        losing: dict[EventStream, list[int]] = {}
        for room in taken.gone:
            for stream in self._of_room.get(room, ()):
                losing.setdefault(stream, []).append(room)
        for number, (stream, rooms) in enumerate(losing.items(), 1):
            if stream.is_free and stream.had_list:
                self._forget_rooms(stream)
                stream.take_out(rooms, [taken.gone[room] for room in rooms])
                self._remember_rooms(stream)
                self._written_to(stream)
                self._metrics.count("stream_ends_total")
            self._hurry(stream, "ended")
            if not number % AT_ONCE:
                await asyncio.sleep(0)

    async def _keep_alive(self) -> None:
        """Sends what keeps silent streams alive."""
        now_s, beaten = time.monotonic(), 0
        for stream, written_s in [*itertools.islice(self._silent.items(), AT_ONCE)]:
            if now_s - written_s < self._config.heartbeat_s:
                break
            if stream.is_free:
                stream.beat()
                beaten += 1
            self._written_to(stream)
        if beaten:
            self._metrics.count("stream_heartbeats_total", beaten)
            await asyncio.sleep(0)

    def _next(self) -> tuple[EventStream | None, float]:
        """The stream to be looked at now, and for how many times the look's duration to rest; None: none is due."""
        now_s, rest = time.monotonic(), 1 / self._config.share - 1
        while self._later and self._later[0][0] <= now_s:
            _, _, stream = heapq.heappop(self._later)
            if stream.is_urgent:
                self._urgent.append(stream)
            else:
                self._turns.appendleft(stream)
        while self._urgent:
            stream = self._urgent.popleft()
            if stream.closed is None:
                return stream, min(rest, URGENT_REST)
        if not self._turns and now_s - self._round_began_s >= self._config.period_s:
            self._round_began_s = now_s
            if self._changes.take_any() or now_s - self._looked_at_all_s > STALE_S:
                self._looked_at_all_s = now_s
                self._turns.extend(self._silent)
        while self._turns:
            stream = self._turns.popleft()
            if stream.closed is None:
                return stream, rest
        return None, 0.0

    def _idle_s(self) -> float:
        """Seconds until something is due."""
        now_s = time.monotonic()
        due_s = self._round_began_s + self._config.period_s
        if self._later:
            due_s = min(due_s, self._later[0][0])
        due_s = min(due_s, next(iter(self._silent.values())) + self._config.heartbeat_s)
        return max(0.001, due_s - now_s)

    def _hurry(self, stream: EventStream, cause: str) -> None:
        """Has a stream looked at soon, and pushed to without waiting."""
        if stream.is_urgent:
            return
        stream.is_urgent, stream.cause = True, cause
        self._look_in(stream, LEAST_S - (time.monotonic() - stream.looked_s))

    def _look_in(self, stream: EventStream, seconds: float) -> None:
        if seconds <= 0:
            self._urgent.append(stream)
        else:
            heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), stream))

    def _look_at(self, stream: EventStream) -> None:
        """Computes a stream's list, and pushes it if it is news and has been for long enough."""
        if not stream.is_free:
            if stream.is_urgent:  # as it stays
                self._look_in(stream, LEAST_S)
            return
        is_urgent, stream.is_urgent = stream.is_urgent, False
        now_s = stream.looked_s = time.monotonic()
        limit = stream.query.limit
        found: list[int] = []

        def is_news(rooms_N: NDArray[np.uint64]) -> bool:
            found[:] = rooms_N.astype(np.uint32).tolist()
            if stream.held is not None and not is_material(stream.held, found, limit):
                stream.differs_since_s = 0.0
                return False
            if is_urgent:
                return True
            hold_s = self._config.hold_ms / 1000
            if not stream.differs_since_s:
                stream.differs_since_s = now_s
                self._look_in(stream, hold_s)
            return now_s - stream.differs_since_s >= hold_s

        try:
            answer = self._lists.recommend_news(stream.query, margin_of(limit), is_news)
        except Exception:  # others have their lists, and this one another time
            if not stream.has_failed:
                LOGGER.exception("a list that is watched could not be computed")
            stream.has_failed = True
            self._metrics.count("stream_looks_total", outcome="failed")
            return
        self._metrics.count("stream_looks_total", outcome="same" if answer is None else "news")
        if stream.resumes:
            stream.resumes, stream.had_list = False, True
            self._metrics.count("stream_resumes_total", outcome="same" if answer is None else "changed")
        if answer is not None:
            self._push(stream, tuple(found[:limit]), answer)
        if is_urgent:
            stream.cause = "change"

    def _push(self, stream: EventStream, rooms: tuple[int, ...], answer: bytes) -> None:
        self._forget_rooms(stream)
        stream.push(rooms, answer)
        self._remember_rooms(stream)
        self._written_to(stream)
        self._metrics.count("stream_lists_total", cause=stream.cause)

    def _written_to(self, stream: EventStream) -> None:
        if self._silent.pop(stream, None) is not None:
            self._silent[stream] = time.monotonic()

    def _forget_rooms(self, stream: EventStream) -> None:
        for room in stream.held or ():
            watching = self._of_room.get(room)
            if watching is not None:
                watching.discard(stream)
                if not watching:
                    del self._of_room[room]

    def _remember_rooms(self, stream: EventStream) -> None:
        for room in stream.held or ():
            self._of_room.setdefault(room, set()).add(stream)
