"""Takes producers' records that come over HTTP: checks, writes, remembers. Never speaks HTTP, never blocks its loop.

A request is answered once Kafka has all of its records that can be taken, or in bounded time without that.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from actors.intake.admission import Admission, Admitted, Receipt
from actors.intake.remembered import Remembered
from actors.intake.writer import TopicWriter
from actors.settings import IntakeConfig
from streaming.clock import Clock
from streaming.errors import NotTaken, TooManyWaiting
from streaming.log.log import Log
from streaming.log.topics import CHAT, ROOMS, VIEWER_EVENTS
from streaming.metrics import Metrics

TAKEN = (ROOMS, CHAT, VIEWER_EVENTS)
AT_ONCE_BYTES = 16_384  # of a body that is read on the loop: in a millisecond, less than a thread costs at times
GRACE_S = 0.1  # in which a request that is not begun is taken back, and so known not to be written


class Taken(NamedTuple):
    """What became of a request's records. repeated: it was answered before, and nothing was written now."""

    receipt: Receipt
    repeated: bool


class _Prepared(NamedTuple):
    admitted: Admitted
    digest: bytes
    size: int  # bytes of the records as they came


class Intake:
    """The records' way in over HTTP. For one event loop; it writes in threads of its own."""

    def __init__(self, log: Log, config: IntakeConfig, clock: Clock, metrics: Metrics) -> None:
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._most_bytes = config.waiting_mb << 20
        self._in_hand_bytes = 0
        self._admissions = {topic: Admission(topic, clock, metrics) for topic in TAKEN}
        self._writers = {topic: TopicWriter(log, topic, metrics) for topic in TAKEN}
        self._remembered = Remembered(config.keys_s, config.keys_mb << 20, clock.monotonic_s)
        # one: what it unpacks is bounded, and it leaves the interpreter to answers for half of the time
        self._reading = ThreadPoolExecutor(1, "intake-reading")

    async def take(
        self, topic: str, body: bytes, values_of: Callable[[bytes], Sequence[bytes]], key: str = "", *, packed: bool
    ) -> Taken:
        """Takes the records of a body; returns once Kafka has those that can be taken.

        values_of: finds them in the body; what it raises is raised here. packed: whether the body is compressed. key:
        of the request, if it has one. Raises TooManyWaiting, NotTaken, KeyReused.
        """
        deadline_s = asyncio.get_running_loop().time() + self._config.timeout_s
        try:
            with self._in_hand(len(body)):
                prepared = await self._prepared(topic, body, values_of, key, deadline_s=deadline_s, packed=packed)
                known = self._remembered.of(topic, key, prepared.digest) if key else None
                if isinstance(known, Receipt):
                    self._metrics.count("intake_repeated_total", topic=topic)
                    return Taken(known, repeated=True)
            task = known or self._begin(topic, prepared, key, deadline_s)
            return Taken(await self._in_time(task, deadline_s), repeated=known is not None)
        except NotTaken as err:
            busy = isinstance(err, TooManyWaiting)
            reason = "busy" if busy else "unknown" if err.may_be_written else "away"
            self._metrics.count("intake_unwritten_total", topic=topic, reason=reason)
            raise

    def stop(self, timeout_s: float) -> bool:
        """Writes what waits and ends the threads; whether that was in time."""
        self._reading.shutdown(wait=False)
        deadline_s = self._clock.monotonic_s() + timeout_s
        ended = [one.stop(max(0.0, deadline_s - self._clock.monotonic_s())) for one in self._writers.values()]
        return all(ended)

    async def _prepared(
        self,
        topic: str,
        body: bytes,
        values_of: Callable[[bytes], Sequence[bytes]],
        key: str,
        *,
        deadline_s: float,
        packed: bool,
    ) -> _Prepared:
        """Reads a body and checks its records. Raises TooManyWaiting, and what `values_of` raises."""

        def prepare() -> _Prepared:
            values = values_of(body)
            whole = b"\n".join(values)
            admitted = self._admissions[topic].check(values, key)
            return _Prepared(admitted, hashlib.blake2b(whole, digest_size=16).digest(), len(whole))

        if len(body) <= AT_ONCE_BYTES and not packed:
            return prepare()
        try:
            async with asyncio.timeout_at(deadline_s):
                return await asyncio.get_running_loop().run_in_executor(self._reading, prepare)
        except TimeoutError as err:
            raise TooManyWaiting("too many bodies wait here to be read", may_be_written=False) from err

    def _begin(self, topic: str, prepared: _Prepared, key: str, deadline_s: float) -> asyncio.Task[Receipt]:
        """Begins to write; the bytes are in hand from now until the task ends. Raises TooManyWaiting, NotTaken."""
        in_hand = contextlib.ExitStack()
        if prepared.admitted.records:
            if self._writers[topic].stuck_s() > self._config.timeout_s:
                raise NotTaken("Kafka does not answer at the moment", may_be_written=False)
            in_hand.enter_context(self._in_hand(prepared.size))
        task = asyncio.get_running_loop().create_task(self._written(topic, prepared, deadline_s))
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may be waiting by then
        task.add_done_callback(lambda _: in_hand.close())
        if key:
            self._remembered.begin(topic, key, prepared.digest, task)
        return task

    async def _written(self, topic: str, prepared: _Prepared, deadline_s: float) -> Receipt:
        """Has the records written; ends only when it is known whether they are. Raises NotTaken."""
        records, receipt = prepared.admitted.records, prepared.admitted.receipt
        began_s = self._clock.monotonic_s()
        if records:
            writer = self._writers[topic]
            submission = writer.submit(records)
            written = asyncio.wrap_future(submission.written)
            done, _ = await asyncio.wait([written], timeout=_left_s(deadline_s))
            if not done:
                writer.withdraw(submission)
            await written
            self._metrics.observe("intake_seconds", self._clock.monotonic_s() - began_s, topic=topic)
        self._admissions[topic].count(receipt)
        return receipt

    async def _in_time(self, task: asyncio.Task[Receipt], deadline_s: float) -> Receipt:
        """The receipt of a request that runs. Raises NotTaken, also where it takes too long."""
        done, _ = await asyncio.wait([task], timeout=_left_s(deadline_s) + GRACE_S)
        if not done:
            what = f"Kafka has not acknowledged the records within {self._config.timeout_s:g} s"
            raise NotTaken(what, may_be_written=True)
        return task.result()

    @contextlib.contextmanager
    def _in_hand(self, size: int) -> Iterator[None]:
        """Counts bytes that are in hand meanwhile. Raises TooManyWaiting."""
        if self._in_hand_bytes and self._in_hand_bytes + size > self._most_bytes:
            raise TooManyWaiting("too many records wait here to be written", may_be_written=False)
        self._in_hand_bytes += size
        try:
            yield
        finally:
            self._in_hand_bytes -= size


def _left_s(deadline_s: float) -> float:
    return max(0.0, deadline_s - asyncio.get_running_loop().time())
