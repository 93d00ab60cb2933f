"""Owns the loop poll → apply → publish → commit and what it does when the log fails. Never looks into a record."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from streaming.clock import Clock
from streaming.errors import ClockMoved, LogUnavailable, TopicMissing
from streaming.log import Batch, Log, Partition, Sink, Source
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.2
# Python's cyclic collector looks at everything again after 700 new objects, and a poll brings thousands: records that
# are gone a turn later made it take 40 % of a loop's time. So many let it see what stays, and nothing else.
YOUNG_OBJECTS = 100_000
# A log that many write to always has something new, and a poll for one record costs a reader and the broker as much as
# one for fifty: at least so long passes from one that brought records to the next.
LEAST_TURN_S = 0.02
IDLE_WAIT_S = 1.0  # of a poll where nothing is due: it ends when a record comes, and workers sweep once a second
PUT_BACK_MS = 1_000  # the clock, by more than a fold's deadlines can bear: they would wait for it to come there again
PUT_AHEAD_MS = 30_000  # or the machine slept: what nobody was heard of meanwhile is on its way
MAX_BACKOFF_S = 5.0  # a broker needs about that long to restart; longer would only add to the outage


@dataclass(frozen=True, slots=True)
class Membership:
    """Who a loop is on the log: its group, its static member name, and the id under which it writes."""

    group: str
    member: str
    topics: tuple[str, ...]
    beside: tuple[str, ...] = ()  # not read, but a change of their shape matters

    @property
    def transactional_id(self) -> str:
        """One per member: a new process of the same member fences the old one."""
        return f"{self.group}-{self.member}"


class Fold(Protocol):
    """What a loop drives: a state per partition, and records that go out. Called by the loop's thread only."""

    def begin(self, source: Source, sink: Sink) -> None:
        """A session begins: drops all state, for everything comes again from the committed positions."""

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Drops the state of these partitions; what they had not published another member does again."""

    def assign(self, partitions: Sequence[Partition]) -> None:
        """Rebuilds the state of these partitions from the log. Blocks. Raises LogUnavailable."""

    def apply(self, batch: Batch) -> None:
        """Folds the records in. Bad ones become dead letters; raises nothing on account of a record."""

    def publish(self, *, final: bool) -> Mapping[Partition, int] | None:
        """Sends what is due and gives the positions to commit with it; None while nothing is. `final`: all of it."""

    def wait_s(self) -> float:
        """How long the next poll may wait for records."""


class Loop:
    """Runs a fold until it is told to stop.

    The log is away: the session ends, its uncommitted work counts for nothing, and a new one begins where the last
    commit left off. So it does where the clock was moved, for a fold's deadlines are of it. Another process took the
    place: Fenced is raised, and the caller's process should end.
    """

    def __init__(self, log: Log, membership: Membership, fold: Fold, metrics: Metrics, clock: Clock) -> None:
        self._log = log
        self._membership = membership
        self._fold = fold
        self._metrics = metrics
        self._clock = clock
        self.restarts = 0
        self._has_run = False
        self._ending: Future[None] | None = None  # of the last commit, as long as it is not known to be over

    def run(self, stop: threading.Event) -> None:
        """Blocks until `stop`, then publishes and commits what is left. Raises Fenced; TopicMissing at the start."""
        collect_less()
        backoff_s = FIRST_BACKOFF_S
        while not stop.is_set():
            started_s = self._clock.monotonic_s()
            try:
                self._session(stop)
            except (LogUnavailable, TopicMissing, ClockMoved) as err:
                if isinstance(err, TopicMissing) and not self._has_run:
                    raise  # later it is a topic that is being made anew
                if self._clock.monotonic_s() - started_s > MAX_BACKOFF_S:
                    backoff_s = FIRST_BACKOFF_S
                self.restarts += 1
                self._metrics.count("loop_restarts_total", reader=self._membership.group)
                LOGGER.warning("%s: %s; tries again in %.1f s", self._membership.transactional_id, err, backoff_s)
                stop.wait(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    def _session(self, stop: threading.Event) -> None:
        names = self._membership
        # The sink first: opening it fences a predecessor, and aborts what that left half written.
        self._ending = None
        self._seen_ms, self._seen_s = self._clock.now_ms(), self._clock.monotonic_s()
        sink = self._log.sink(names.transactional_id)
        try:
            source = self._log.group(names.topics, names.group, names.member, names.beside)
            try:
                self._fold.begin(source, sink)
                while not stop.is_set():
                    started_s = self._clock.monotonic_s()
                    if self._turn(source, sink):
                        stop.wait(LEAST_TURN_S - (self._clock.monotonic_s() - started_s))
                self._settle()
                self._commit(source, sink, final=True)
                self._settle()
            finally:
                source.close()
        finally:
            sink.close()

    def _turn(self, source: Source, sink: Sink) -> bool:
        """Whether there were records."""
        self._look_at_clock()
        batch = source.poll(self._fold.wait_s())
        if batch.revoked or batch.assigned:
            self._settle()  # a state is read back from the log: what this member wrote has to be there
        if batch.revoked:
            self._fold.revoke(batch.revoked)
        if batch.assigned:
            self._fold.assign(batch.assigned)
            self._metrics.count("rebuilds_total", len(batch.assigned), reader=self._membership.group)
        self._fold.apply(batch)
        if self._ending is not None and self._ending.done():
            self._settle()
        self._commit(source, sink, final=bool(batch.reshaped))
        if batch.reshaped:  # everything is given again now, from what is stored
            self._settle()
        self._has_run = True
        return bool(batch.records)

    def _look_at_clock(self) -> None:
        """Raises ClockMoved. A machine that sleeps counts no time of its own meanwhile."""
        before_ms, before_s = self._seen_ms, self._seen_s
        self._seen_ms, self._seen_s = self._clock.now_ms(), self._clock.monotonic_s()
        passed_ms = self._seen_ms - before_ms
        ahead_ms = passed_ms - 1_000 * (self._seen_s - before_s)
        if passed_ms < -PUT_BACK_MS:
            raise ClockMoved(f"this machine's clock was put back by {-passed_ms / 1_000:.0f} s")
        if ahead_ms > PUT_AHEAD_MS:
            raise ClockMoved(f"this machine slept for {ahead_ms / 1_000:.0f} s, or its clock was put ahead")

    def _commit(self, source: Source, sink: Sink, *, final: bool) -> None:
        """Begins a commit. It ends while the next batch is read and folded, and before anything more is sent."""
        positions = self._fold.publish(final=final)
        if positions is None:
            return
        self._settle()
        started_s = self._clock.monotonic_s()
        self._ending = sink.begin_commit(source, positions)
        self._ending.add_done_callback(partial(self._committed, started_s))

    def _settle(self) -> None:
        """Waits for the end of the last commit. Raises LogUnavailable, Fenced."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.result()

    def _committed(self, started_s: float, ending: Future[None]) -> None:
        """From whatever thread ends it."""
        if ending.exception() is None:
            took_s = self._clock.monotonic_s() - started_s
            self._metrics.count("commits_total", reader=self._membership.group)
            self._metrics.observe("commit_seconds", took_s, reader=self._membership.group)


def collect_less() -> None:
    """Has the cyclic collector come less often: in the whole process, which is a loop's own, and for good."""
    young, *older = gc.get_threshold()
    if 0 < young < YOUNG_OBJECTS:  # 0: it is switched off
        gc.set_threshold(YOUNG_OBJECTS, *older)
