"""The seam to the encoder, and the texts that are in flight there. Never chooses a text, never touches a room."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.settings import InFlightConfig
from streaming.clock import Clock
from streaming.errors import EncoderUnknown
from streaming.metrics import Metrics

T = TypeVar("T")

LEAST_IN_FLIGHT = 32  # so that a rate measured on single texts grows to what batches reach
MOST_IN_FLIGHT = 1024
RATE_MEMORY_S = 5.0
FULL_MEMORY_S = 1.0  # a completed batch makes room for a moment: the encoder is no less busy for that
PROBE_TEXT = "tidecast"
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """The vectors of one submission, float16 [N, D], in the order of its texts.

    version: of the encoder that made them. wanted: of the one that rooms are to be read with, "" where nobody says.
    """

    vectors: NDArray[np.float16]
    version: str
    wanted: str = ""


class EncoderClient(Protocol):
    """A client of the encoder, which turns texts into vectors."""

    def submit(self, texts: Sequence[str], encoder: str = "") -> Future[Encoded]:
        """Hands over the texts and returns at once. Submissions finish in any order, each as a whole or with an error.

        encoder: the version of the encoder to encode with; "" for the one that rooms are to be read with. A lost
        submission fails or stays silent; the caller tries again. EncoderUnknown: there is no such encoder here.
        """


class Question:
    """A submission whose answer somebody looks for now and then. For one thread.

    With a text it finds out whether the encoder encodes; without one, which encoder rooms are to be read with.
    """

    def __init__(self, client: EncoderClient, texts: Sequence[str], timeout_s: float, clock: Clock) -> None:
        self._client = client
        self._texts = texts
        self._timeout_s = timeout_s
        self._clock = clock
        self._asked: Future[Encoded] | None = None
        self._asked_s = 0.0

    def answer(self) -> Encoded | None:
        """The answer, None while there is none. Asks, and once more after a failure. Never blocks."""
        asked = self._asked
        if asked is not None and asked.done() and not asked.cancelled() and asked.exception() is None:
            return asked.result()
        if asked is None or asked.done() or self._clock.monotonic_s() - self._asked_s > self._timeout_s:
            self.ask()
        return None

    def ask(self) -> None:
        """Asks anew; the answer before is forgotten."""
        self._asked_s = self._clock.monotonic_s()
        try:
            self._asked = self._client.submit(self._texts)
        except Exception:  # whatever the transport raises, it is asked again
            self._asked = None


class Completed(NamedTuple, Generic[T]):
    """A completed submission: its jobs and their vectors, or None where it failed and is to be tried again."""

    jobs: Sequence[T]
    encoded: Encoded | None


@dataclass(slots=True, eq=False)
class _Submission(Generic[T]):
    jobs: Sequence[T]
    submitted_s: float
    encoder: str


class InFlight(Generic[T]):
    """The submissions in flight, and the encoder's capacity as their completions show it. For one thread."""

    def __init__(self, client: EncoderClient, config: InFlightConfig, metrics: Metrics, clock: Clock) -> None:
        self._client = client
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._pending: dict[_Submission[T], None] = {}
        self._arrived: queue.SimpleQueue[tuple[_Submission[T], Future[Encoded]]] = queue.SimpleQueue()
        self._busy_s = self._finished = 0.0
        self._marked_s = clock.monotonic_s()
        self._backoff_s = 0.0
        self._paused_until_s = 0.0
        self._timed = False  # the next completion shows how fast the encoder is: it did not wait for its start
        self._full_s = float("-inf")  # when the encoder last had no room for more
        self.texts = 0
        self.version = ""  # of the encoder that made the newest vectors
        self.unknown = ""  # the last that was asked for and is not to be had; until it answers

    @property
    def texts_per_s(self) -> float:
        """Texts completed per second in which any was in flight, above 0.

        Before the first completion, and once all of them are forgotten: the rate that a completion now would show.
        """
        finished = self._finished or min(1.0, LEAST_IN_FLIGHT * self._busy_s)
        return finished / self._busy_s if self._busy_s > 0.001 else float(LEAST_IN_FLIGHT)

    @property
    def capacity(self) -> float:
        """texts_per_s while the encoder is full; infinite while that is only what it was asked for.

        The rate measures the encoder only while as much as allowed is in flight; at other times it measures demand.
        As the capacity it would then lower demand, and that the rate, until the encoder idles while texts wait.
        """
        full = self._clock.monotonic_s() - self._full_s < FULL_MEMORY_S
        return self.texts_per_s if full else float("inf")

    @property
    def batch_texts(self) -> int:
        """Texts per submission: half of what may be in flight, so that the encoder finds the next one waiting."""
        return max(1, min(self._config.batch_texts, self._limit() // 2))

    @property
    def batch_s(self) -> float:
        """How long a submission takes at present, in seconds."""
        return self.batch_texts / self.texts_per_s

    def vacancy(self) -> int:
        """Number of texts that may be submitted now; 0 during the pause after a failure."""
        if self._clock.monotonic_s() < self._paused_until_s:
            return 0
        return max(0, self._limit() - self.texts)

    def submit(self, jobs: Sequence[T], texts: Sequence[str], encoder: str = "") -> None:
        """Submits a batch, one text per job. encoder: as for `EncoderClient.submit`. Never blocks."""
        self._mark(0)
        submission = _Submission(jobs, self._clock.monotonic_s(), encoder)
        self._pending[submission] = None
        self.texts += len(jobs)
        if self.texts >= self._limit():
            self._full_s = self._clock.monotonic_s()
        self._metrics.observe("encode_batch_texts", len(jobs))
        try:
            future = self._client.submit(texts, encoder)
        except Exception as err:  # whatever the transport raises, the texts are tried again
            future = Future()
            future.set_exception(err)
        future.add_done_callback(partial(self._arrive, submission))

    def completed(self) -> list[Completed[T]]:
        """Submissions completed since the last call, and those silent for too long. Never blocks."""
        completions: list[Completed[T]] = []
        while not self._arrived.empty():
            submission, future = self._arrived.get_nowait()
            if submission in self._pending:  # else it was given up already
                completions.append(self._complete(submission, future))
        if self._pending:
            oldest = next(iter(self._pending))
            if self._clock.monotonic_s() - oldest.submitted_s > self._config.timeout_s:
                completions.append(self._fail(oldest))
        return completions

    def _arrive(self, submission: _Submission[T], future: Future[Encoded]) -> None:
        """Takes a completion, from whatever thread finished it."""
        self._arrived.put((submission, future))

    def _complete(self, submission: _Submission[T], future: Future[Encoded]) -> Completed[T]:
        if future.cancelled() or (err := future.exception()) is not None:
            if not future.cancelled() and isinstance(err, EncoderUnknown):
                self.unknown = submission.encoder
            return self._fail(submission)
        encoded = future.result()
        if len(encoded.vectors) != len(submission.jobs):
            return self._fail(submission)
        if submission.encoder not in ("", encoded.version):  # vectors of another space
            self._metrics.count("vectors_refused_total", len(submission.jobs), reader="encoder")
            return self._fail(submission)
        self.version, self.unknown = encoded.version, ""
        self._mark(len(submission.jobs))
        self._timed = True
        self._leave(submission)
        self._metrics.observe("encode_seconds", self._clock.monotonic_s() - submission.submitted_s)
        self._backoff_s = 0.0
        return Completed(submission.jobs, encoded)

    def _fail(self, submission: _Submission[T]) -> Completed[T]:
        self._mark(0)
        self._timed = False
        self._leave(submission)
        self._metrics.count("encoder_failures_total")
        self._backoff_s = min(MAX_BACKOFF_S, max(FIRST_BACKOFF_S, 2 * self._backoff_s))
        self._paused_until_s = self._clock.monotonic_s() + self._backoff_s
        return Completed(submission.jobs, None)

    def _leave(self, submission: _Submission[T]) -> None:
        del self._pending[submission]
        self.texts -= len(submission.jobs)

    def _mark(self, finished: int) -> None:
        now_s = self._clock.monotonic_s()
        if self._pending and self._timed:
            busy_s = now_s - self._marked_s
            keep = max(0.0, 1.0 - busy_s / RATE_MEMORY_S)
            self._busy_s = self._busy_s * keep + busy_s
            self._finished = self._finished * keep + finished
        self._marked_s = now_s

    def _limit(self) -> int:
        return int(min(MOST_IN_FLIGHT, max(LEAST_IN_FLIGHT, self.texts_per_s * self._config.target_s)))
