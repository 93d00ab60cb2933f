"""Writes requests' records to one topic: those that wait share one flush. Never checks a record.

Kafka's answer takes milliseconds however many records it is for. So while one group of requests is on its way, the next
one gathers. A group is written in the order of its requests, and a request in the order of its records.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from streaming.errors import NotTaken, TidecastError, TopicMissing
from streaming.log.log import Log, Sink
from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

GROUP_BYTES = 8_388_608  # of one flush at most, so that it is over in good time
SLICE = (
    256  # records sent at a stretch: half a millisecond in which no answer is computed, for they share the interpreter
)
GIVE_WAY_S = 0.0002


class Submission:
    """One request's records on their way. written: done once Kafka has all of them; else it raises NotTaken."""

    __slots__ = ("records", "size", "written")

    def __init__(self, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        self.records = records
        self.size = sum(len(value) for _, value in records)
        self.written: Future[None] = Future()


class TopicWriter:
    """Writes to one topic in a thread of its own, which opens the log at the first request. Any thread submits."""

    def __init__(
        self, log: Log, topic: str, metrics: Metrics, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._topic = topic
        self._metrics = metrics
        self._monotonic_s = monotonic_s
        self._changed = threading.Condition()
        self._waiting: deque[Submission] = deque()
        self._stopped = False
        self._begun_s: float | None = None  # when the group that is being written was begun
        self._sink: Sink | None = None
        self._thread: threading.Thread | None = None

    def submit(self, records: Sequence[tuple[bytes | None, bytes]]) -> Submission:
        """Queues a request's records; returns at once."""
        submission = Submission(records)
        with self._changed:
            self._waiting.append(submission)
            if self._thread is None:
                self._thread = threading.Thread(target=self.run, name=f"intake-{self._topic}", daemon=True)
                self._thread.start()
            self._changed.notify()
        return submission

    def withdraw(self, submission: Submission) -> bool:
        """Takes a request back that is not begun: nothing of it is written then. False where it is begun."""
        with self._changed:
            try:
                self._waiting.remove(submission)
            except ValueError:
                return False
        submission.written.set_exception(NotTaken("Kafka does not answer", may_be_written=False))
        return True

    def stuck_s(self) -> float:
        """Seconds since the group that is being written was begun; 0 where there is none."""
        begun_s = self._begun_s
        return 0.0 if begun_s is None else self._monotonic_s() - begun_s

    def stop(self, timeout_s: float) -> bool:
        """Writes what waits and ends the thread; whether that was in time."""
        with self._changed:
            self._stopped = True
            thread = self._thread
            self._changed.notify()
        if thread is None:
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def run(self) -> None:
        """Writes until `stop`, then what is left."""
        while self._has_work():
            self._begun_s = self._monotonic_s()
            if self._opened() and (group := self._next()):
                self._write(group)
            self._begun_s = None
        self._close()

    def _has_work(self) -> bool:
        """Waits for a request; False once the writer is stopped and all are written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            return bool(self._waiting)

    def _opened(self) -> bool:
        """Opens the log if need be. Meanwhile requests can be taken back; where it fails, those that wait are told."""
        if self._sink is None:
            try:
                self._sink = self._log.sink()
            except Exception as err:  # whatever it is, a replica that answers is not replaced for it
                self._fail(self._next(), err, may_be_written=False)
        return self._sink is not None

    def _next(self) -> list[Submission]:
        """The requests that wait, as many as make a group. They can no longer be taken back."""
        group: list[Submission] = []
        size = 0
        with self._changed:
            while self._waiting and (not group or size + self._waiting[0].size <= GROUP_BYTES):
                submission = self._waiting.popleft()
                if submission.written.set_running_or_notify_cancel():
                    group.append(submission)
                    size += submission.size
        return group

    def _write(self, group: Sequence[Submission]) -> None:
        """Writes a group, and completes each of its requests. Raises nothing."""
        assert self._sink is not None
        sent = 0
        try:
            for submission in group:
                for key, value in submission.records:
                    self._sink.send(self._topic, key, value)
                    sent += 1
                    if not sent % SLICE:
                        time.sleep(GIVE_WAY_S)
            self._sink.flush()
        except Exception as err:  # as above
            self._fail(group, err, may_be_written=sent > 0)
            self._close()
            return
        for submission in group:
            submission.written.set_result(None)
        self._metrics.observe("intake_group_requests", len(group))

    def _fail(self, group: Sequence[Submission], err: Exception, *, may_be_written: bool) -> None:
        """Tells requests that they are not acknowledged. Where Kafka is, and bugs of ours, are for the log alone."""
        LOGGER.warning("%s over HTTP: %s", self._topic, err, exc_info=not isinstance(err, TidecastError))
        what = str(err) if isinstance(err, TopicMissing) else "Kafka does not take records at the moment"
        for submission in group:
            submission.written.set_exception(NotTaken(what, may_be_written=may_be_written))

    def _close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            with contextlib.suppress(Exception):  # it was given up already, or everything in it is acknowledged
                sink.close()
