"""Impressions on their way to the log: noted with each answer, written in batches. Never makes an answer wait.

A learned model needs to know which rooms an answer offered, and so which of them were not entered. An impression is
worth less than the answer itself: where the log does not keep up, or is away for long, they are dropped and counted.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from msgspec import UNSET

from actors.recommend.answer.items import ChosenRoom
from actors.recommend.schema import Answer
from streaming.errors import TidecastError
from streaming.events import Assignment, Impression, ViewerId
from streaming.log.codec import encode
from streaming.log.log import Log, Sink
from streaming.log.topics import IMPRESSIONS
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

PERIOD_S = 1.0  # between batches: a batch costs some 2.5 ms, however small it is
SLICE = 64  # impressions sent at a stretch: some 0.2 ms in which no answer is computed, for they share the interpreter
RETRY_S = 2.0  # after the log has failed
DETERMINISTIC = 1.0  # propensity of a room that the baseline ranker shows: it would show it again


class Impressions:
    """Impressions that are not written yet, bounded in number. Any thread notes, one takes."""

    def __init__(self, share: float, most: int) -> None:
        """share: of the answers, noted at random. most: impressions that may wait."""
        self._share = share
        self._most = most
        self._chance = random.Random().random
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._leaving = threading.Lock()  # held while some leave the queue
        self.dropped = 0  # because too many waited, since the start

    def __len__(self) -> int:
        return len(self._waiting)

    def note(
        self,
        answer: Answer,
        chosen_rooms: Sequence[ChosenRoom],
        first_position: int = 1,
        experiments: tuple[Assignment, ...] = (),
    ) -> None:
        """Queues an answer's rooms, in order. Returns at once, whatever the log does.

        first_position: of the first room, on a later page after those of the pages before. experiments: that the
        answer was part of.
        The impression is serialised here: that is cheapest while the answer is at hand (docs/lab-notebook.md).
        """
        if not chosen_rooms or (self._share < 1 and self._chance() >= self._share):
            return
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        impression = Impression(
            request_id=answer.request_id,
            viewer=ViewerId(answer.viewer),
            rooms=tuple([chosen_room.snapshot.state.room for chosen_room in chosen_rooms]),
            scores=tuple([chosen_room.score for chosen_room in chosen_rooms]),
            propensities=(DETERMINISTIC,) * len(chosen_rooms),
            model_version=answer.model_version,
            at_ms=answer.generated_at_ms,
            steered=answer.steer is not UNSET,
            sources=tuple([chosen_room.source for chosen_room in chosen_rooms]),
            first_position=first_position,
            experiments=experiments,
        )
        self._waiting.append((answer.viewer.encode(), encode(impression)))

    def take(self, most: int) -> list[tuple[bytes, bytes]]:
        """Takes the oldest impressions that wait, at most `most`: key and value of each."""
        with self._leaving:
            return self._take(most)

    def forget(self, viewer: ViewerId) -> None:
        """Drops the impressions of a viewer that wait. For the threads that note, one at a time."""
        key = viewer.encode()
        with self._leaving:
            if any(waiting[0] == key for waiting in self._waiting):
                kept = [waiting for waiting in self._waiting if waiting[0] != key]
                self._waiting.clear()
                self._waiting.extend(kept)

    def _take(self, most: int) -> list[tuple[bytes, bytes]]:
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]


class WaitingRecords(Protocol):
    """Records that wait to be written, bounded in number."""

    @property
    def dropped(self) -> int:
        """Those that were dropped since the start, because too many waited."""

    def __len__(self) -> int: ...

    def take(self, most: int) -> list[tuple[bytes, bytes]]:
        """Takes the oldest, at most `most`: key and value of each. Returns at once."""


class ImpressionWriter:
    """Writes impressions from a thread of its own, without a transaction: a restart has no input to read again."""

    def __init__(self, log: Log, impressions: WaitingRecords, metrics: Metrics, topic: str = IMPRESSIONS) -> None:
        """topic: where they are written; the metrics are named after it."""
        self._log = log
        self._impressions = impressions
        self._metrics = metrics
        self._topic = topic
        self._counted = topic.replace("-", "_")
        self._sink: Sink | None = None
        self._dropped = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, args=(self._stop,), name=topic, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Writes what is left and ends the thread; whether that was in time. While Kafka is away it may not be."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def run(self, stop: threading.Event) -> None:
        """Writes until `stop`, then what is left. Without a broker it waits for one, and noting goes on."""
        pause_s = PERIOD_S
        while not stop.wait(pause_s):
            pause_s = PERIOD_S if self.write(stop) else RETRY_S
        self.write(stop)
        self._close()

    def write(self, stop: threading.Event) -> bool:
        """Writes the impressions that wait now; whether the log took them. Sent and not acknowledged counts as lost."""
        waiting, sent = len(self._impressions), 0
        try:
            if waiting and self._sink is None:
                self._sink = self._log.sink()
            while self._sink is not None and sent < waiting:
                batch = self._impressions.take(min(SLICE, waiting - sent))
                sent += len(batch)
                for key, value in batch:
                    self._sink.send(self._topic, key, value)
                stop.wait(0.0005)  # lets answers be computed between two slices
            if self._sink is not None and sent:
                self._sink.flush()
        except Exception as err:  # whatever it is, a replica that answers is not replaced for it
            LOGGER.warning("%s: %s", self._topic, err, exc_info=not isinstance(err, TidecastError))
            self._count(sent, "lost")
            self._close()
            return False
        self._count(sent, "written")
        return True

    def _count(self, sent: int, outcome: str) -> None:
        self._metrics.gauge(f"{self._counted}_waiting", len(self._impressions))
        if sent:
            self._metrics.count(f"{self._counted}_total", sent, outcome=outcome)
        dropped = self._impressions.dropped
        if dropped > self._dropped:
            self._metrics.count(f"{self._counted}_total", dropped - self._dropped, outcome="dropped")
            self._dropped = dropped

    def _close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with contextlib.suppress(Exception):  # it was given up already, or everything in it is acknowledged
                sink.close()
