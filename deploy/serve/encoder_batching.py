"""The Encoder's batching, which merges the texts of all RoomWorkers, and the client to it. Never chooses a text.

The Encoder's process loads torch; a Trainer does so too, while it trains.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.rooms.encoder_client import Encoded
from streaming.errors import EncoderError
from streaming.log.watched_log import TurnCounter
from streaming.metrics import Metrics

MOST_MERGED_TEXTS = 256  # four batches of the model: enough to sort by length, and done within half a second
PATIENCE_S = 2.0  # after so long, submissions that give way are encoded all the same
WATCH_PERIOD_S = 1.0
CALL_TIMEOUT_S = 20.0  # a new encoder loads its model in 5 s; until then calls wait for it


class Encoder(Protocol):
    """An encoder of texts; `training.content.text_encoder.TextEncoder` is one."""

    version: str

    def encode_prefixed(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """The vectors of N texts that are complete, float16 [N, D]. Blocks. Raises EncoderError."""


class _Waiting(NamedTuple):
    texts: Sequence[str]
    encoder: Encoder
    done: asyncio.Future[Encoded]
    since_s: float


class Merger:
    """Merges submissions that came while the last batch was at the model into one batch. For one event loop.

    A batch is for one encoder: that of the submission which is first in turn, with others for the same encoder.
    Submissions that give way are encoded one at a time, and while others wait only every PATIENCE_S. Those that go
    first are in the next batch.
    """

    def __init__(self, metrics: Metrics, wanted: Callable[[], str] = lambda: "") -> None:
        """wanted: the version of the encoder that rooms are to be read with, which each answer says."""
        self._wanted = wanted
        self._metrics = metrics
        self._waiting: list[_Waiting] = []
        self._giving_way: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, "encoder")
        self._running: asyncio.Task[None] | None = None
        self._batch = 0  # number of batches that went to the model
        self._at_model = False

    async def submit(
        self, texts: Sequence[str], encoder: Encoder, *, gives_way: bool = False, goes_first: bool = False
    ) -> Encoded:
        """The texts' vectors. gives_way: no live room waits for them. goes_first: a caller waits for them.

        Raises what the encoder raises.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Encoded] = loop.create_future()
        waiting = _Waiting(texts, encoder, done, loop.time())
        if goes_first:
            self._waiting.insert(0, waiting)
        else:
            (self._giving_way if gives_way else self._waiting).append(waiting)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._drain())
        return await done

    @property
    def waiting_texts(self) -> int:
        """The texts of live rooms that wait for the model. Those that give way are no reason for another Encoder."""
        return sum(len(waiting.texts) for waiting in self._waiting)

    def watch(self, stop: threading.Event, turn_counter: TurnCounter, period_s: float = WATCH_PERIOD_S) -> None:
        """Beats once a period, except while the same batch is at the model as before. Blocks until `stop`."""
        seen = 0
        while not stop.wait(period_s):
            batch = self._batch
            if not self._at_model or batch != seen:
                turn_counter.count_turn()
            seen = batch

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or self._giving_way:
            batch = self._take(loop.time())
            texts, encoder = [text for waiting in batch for text in waiting.texts], batch[0].encoder
            self._metrics.gauge("encoder_waiting_texts", sum(len(waiting.texts) for waiting in self._waiting))
            self._batch += 1
            self._at_model = True
            try:
                vectors_ND = await loop.run_in_executor(self._thread, encoder.encode_prefixed, texts)
            except Exception as err:
                for waiting in batch:
                    if not waiting.done.done():
                        waiting.done.set_exception(err)
                continue
            finally:
                self._at_model = False
            at, wanted = 0, self._wanted()
            for waiting in batch:
                rows = vectors_ND[at : at + len(waiting.texts)]
                at += len(waiting.texts)
                if not waiting.done.done():  # its caller may have given up
                    waiting.done.set_result(Encoded(rows, encoder.version, wanted))

    def _take(self, now_s: float) -> list[_Waiting]:
        """Takes the oldest submission, and the next ones for the same encoder; at most one that gives way."""
        taken, left = self._in_turn()
        if self._giving_way and (not taken or now_s - self._giving_way[0].since_s > PATIENCE_S):
            late = self._giving_way.popleft()
            if taken and late.encoder is not taken[0].encoder:  # a batch of its own, and the others are in the next
                return [late]
            taken.append(late)
        self._waiting = left
        return taken

    def _in_turn(self) -> tuple[list[_Waiting], list[_Waiting]]:
        """The submissions of the next batch, and those that wait on, in their order."""
        taken: list[_Waiting] = []
        left: list[_Waiting] = []
        texts = 0
        for waiting in self._waiting:
            is_same = waiting.encoder is self._waiting[0].encoder
            texts += len(waiting.texts) if is_same else 0
            (taken if is_same and (not taken or texts <= MOST_MERGED_TEXTS) else left).append(waiting)
        return taken, left


class RemoteEncoder:
    """An EncoderClient that hands texts to an event loop, which awaits the Encoder deployment."""

    def __init__(
        self, call: Callable[[Sequence[str], str], Awaitable[Encoded]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._call = call
        self._loop = loop

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        """Submits texts and returns at once, from any thread. A killed encoder fails the future; so does silence."""
        return asyncio.run_coroutine_threadsafe(self._ask(list(texts), encoder), self._loop)

    async def _ask(self, texts: list[str], encoder: str) -> Encoded:
        encoded = await asyncio.wait_for(_awaited(self._call(texts, encoder)), CALL_TIMEOUT_S)
        if encoder and encoded.version != encoder:
            raise EncoderError(f"asked for vectors of the encoder {encoder}, what came is of {encoded.version}")
        return encoded


async def _awaited(response: Awaitable[Encoded]) -> Encoded:
    return await response
