"""The loop poll → apply → publish → commit, and its recovery when the log fails. Never looks into a record."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from streaming.clock import Clock
from streaming.errors import ClockMoved, Fenced, LogUnavailable, TopicMissing
from streaming.log.claim import Claim
from streaming.log.log import Batch, LiveMember, Log, Partition, Sink, Source
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.2
# Python's cyclic collector runs after 700 new objects, and a poll brings thousands, gone a turn later: it took 40 % of
# a loop's time. With this threshold it sees only objects that stay.
YOUNG_OBJECTS = 100_000
# A busy log always has something new, and a poll for one record costs as much as one for fifty. So at least this long
# passes between polls that bring records.
LEAST_TURN_S = 0.02
IDLE_WAIT_S = 1.0  # limit of a poll when nothing is due: a record ends it, and workers sweep once a second
PUT_BACK_MS = 1_000  # a larger step back of the clock would delay a worker's deadlines too much
PUT_AHEAD_MS = 30_000  # or the machine slept, and records of that time are still to come
LOOK_S = 0.5  # between two looks whether another process still has this one's name
MAX_BACKOFF_S = 5.0  # a broker needs about that long to restart; longer would only add to the outage


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A loop's identity on the log: its group, its static member name, and the id under which it writes."""

    group: str
    member: str
    topics: tuple[str, ...]
    beside: tuple[str, ...] = ()  # not read, but watched for changes of shape

    @property
    def transactional_id(self) -> str:
        """The transactional id, one per member: a new process of a member fences the old one."""
        return f"{self.group}-{self.member}"


class LoopWorker(Protocol):
    """The state that a loop drives, per partition, and its output records. Called by the loop's thread only."""

    def is_ready(self, other: LiveMember) -> bool:
        """Whether this worker can take over from another process that has its name. Asked again until it can.

        It reads ahead what it will need, and blocks meanwhile. Raises LogUnavailable.
        """

    def stand_by(self, other: LiveMember) -> None:
        """Drops all state: another process has this one's name, and does its work. Called again while it does."""

    def begin(self, source: Source, sink: Sink) -> None:
        """Begins a session: drops all state, because everything is read again from the committed positions."""

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Drops the state of these partitions; another member repeats the work that was not committed."""

    def assign(self, partitions: Sequence[Partition]) -> None:
        """Rebuilds the state of these partitions from the log. Blocks. Raises LogUnavailable."""

    def apply(self, batch: Batch) -> None:
        """Aggregates the records. Bad ones become dead letters; no record makes it raise."""

    def publish(self, *, final: bool) -> Mapping[Partition, int] | None:
        """Sends output that is due and returns the positions to commit with it; None if none is. `final`: sends all."""

    def wait_s(self) -> float:
        """How long the next poll may wait for records."""


class Loop:
    """Runs a worker until it is stopped.

    Where the log becomes unavailable the session ends, its uncommitted work is void, and a new session begins from the
    last commit. The same happens where the clock was moved, because a worker's deadlines depend on it. Where another
    process has taken this one's name, the loop stands by until that one has left the group: see `claim.py`.
    """

    def __init__(self, log: Log, membership: GroupMember, worker: LoopWorker, metrics: Metrics, clock: Clock) -> None:
        self._log = log
        self._membership = membership
        self._worker = worker
        self._metrics = metrics
        self._clock = clock
        self._claim = Claim(log, membership.group, clock)
        self.restarts = 0
        self._has_run = False
        self.is_settled = False  # whether the last session ended with all that was published committed
        self._ending: Future[None] | None = None  # the last commit, until it is known to have completed

    def run(self, stop: threading.Event) -> None:
        """Blocks until `stop`, then publishes and commits what is left. Raises TopicMissing at the start."""
        collect_less()
        backoff_s = FIRST_BACKOFF_S
        while not stop.is_set():
            started_s = self._clock.monotonic_s()
            try:
                names = self._membership
                if self._claimed(names):
                    self._session(names, stop)
                else:
                    stop.wait(LOOK_S)
            except Fenced as err:
                self._claim.lost()
                LOGGER.warning("%s: %s", self._membership.transactional_id, err)
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

    @property
    def is_committed(self) -> bool:
        """Whether all that was published is known to be committed. For the loop's thread."""
        return self._ending is None

    def rename(self, member: str) -> None:
        """Gives this process another name in its group, for which it gives up its place under the present one.

        It takes effect at the end of a turn. Any thread may call it.
        """
        self._membership = replace(self._membership, member=member)

    def _claimed(self, names: GroupMember) -> bool:
        """Looks once whether this process may take its name, and has the worker stand by where it may not."""
        claimed = self._claim.may_take(names.member, self._worker.is_ready)
        if not claimed and self._claim.holder is not None:
            self._worker.stand_by(self._claim.holder)
        self._metrics.gauge("standing_by", float(not claimed), reader=names.group)
        return claimed

    def _session(self, names: GroupMember, stop: threading.Event) -> None:
        self._claim.has(names.member)
        self.is_settled = False
        # The sink first: opening it fences a predecessor, and aborts the transaction that it left open.
        self._ending = None
        self._seen_ms, self._seen_s = self._clock.now_ms(), self._clock.monotonic_s()
        sink = self._log.sink(names.transactional_id)
        try:
            source = self._log.group(names.topics, names.group, names.member, names.beside)
            try:
                self._worker.begin(source, sink)
                while not stop.is_set() and names is self._membership:
                    started_s = self._clock.monotonic_s()
                    if self._turn(source, sink):
                        stop.wait(LEAST_TURN_S - (self._clock.monotonic_s() - started_s))
                self._settle()
                self._commit(source, sink, final=True)
                self._settle()
                self.is_settled = True
            finally:
                self._claim.had(source.member_id())
                if stop.is_set() or names is not self._membership:
                    source.leave()  # others go on at once, also where the last commit has failed
                source.close()
        finally:
            sink.close()

    def _turn(self, source: Source, sink: Sink) -> bool:
        """Runs one turn; returns whether there were records."""
        self._look_at_clock()
        if source.rebalance() == "waits":
            self._commit(source, sink, final=True)
            self._settle()
        batch = source.poll(self._worker.wait_s())
        if batch.revoked or batch.assigned:
            self._settle()  # states are restored from the log, so this member's writes must be complete
        if batch.revoked:
            self._worker.revoke(batch.revoked)
        if batch.assigned:
            self._worker.assign(batch.assigned)
            self._metrics.count("rebuilds_total", len(batch.assigned), reader=self._membership.group)
        self._worker.apply(batch)
        if self._ending is not None and self._ending.done():
            self._settle()
        self._commit(source, sink, final=bool(batch.reshaped))
        if batch.reshaped:  # the next poll assigns everything again, from the committed positions
            self._settle()
        self._has_run = True
        return bool(batch.records)

    def _look_at_clock(self) -> None:
        """Raises ClockMoved where the wall clock jumped. The monotonic clock stands still while a machine sleeps."""
        before_ms, before_s = self._seen_ms, self._seen_s
        self._seen_ms, self._seen_s = self._clock.now_ms(), self._clock.monotonic_s()
        passed_ms = self._seen_ms - before_ms
        ahead_ms = passed_ms - 1_000 * (self._seen_s - before_s)
        if passed_ms < -PUT_BACK_MS:
            raise ClockMoved(f"this machine's clock was put back by {-passed_ms / 1_000:.0f} s")
        if ahead_ms > PUT_AHEAD_MS:
            raise ClockMoved(f"this machine slept for {ahead_ms / 1_000:.0f} s, or its clock was put ahead")

    def _commit(self, source: Source, sink: Sink, *, final: bool) -> None:
        """Begins a commit. It completes while the next batch is read and applied, and before anything more is sent."""
        if source.rebalance() == "runs" and not final:
            return
        positions = self._worker.publish(final=final)
        if positions is None:
            return
        self._settle()
        started_s = self._clock.monotonic_s()
        self._ending = sink.begin_commit(source, positions)
        self._ending.add_done_callback(partial(self._committed, started_s))

    def _settle(self) -> None:
        """Waits until the last commit has completed. Raises LogUnavailable, Fenced."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.result()

    def _committed(self, started_s: float, ending: Future[None]) -> None:
        """Counts a completed commit. Called by the thread that completes it."""
        if ending.exception() is None:
            took_s = self._clock.monotonic_s() - started_s
            self._metrics.count("commits_total", reader=self._membership.group)
            self._metrics.observe("commit_seconds", took_s, reader=self._membership.group)


def collect_less() -> None:
    """Makes the cyclic collector run less often, for good, in the whole process, which is the loop's own."""
    young, *older = gc.get_threshold()
    if 0 < young < YOUNG_OBJECTS:  # 0: it is switched off
        gc.set_threshold(YOUNG_OBJECTS, *older)
