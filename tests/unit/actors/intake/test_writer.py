"""Requests' records share flushes, and each request is told what became of it, whatever the log does."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.intake import writer as writer_module
from actors.intake.writer import Submission, TopicWriter
from streaming.errors import LogUnavailable, NotTaken, TopicMissing
from streaming.metrics import MemoryMetrics

WAIT_S = 10.0  # for a thread; it takes none


@dataclass
class FakeLog:
    """A log that notes what is written in each flush, and fails or waits on request."""

    flushed: list[list[tuple[str, bytes, bytes]]] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    fails_at: str = ""  # open, send or flush
    error: Exception = field(default_factory=lambda: LogUnavailable("no broker answers"))
    gate: threading.Event = field(default_factory=threading.Event)  # that each flush, or opening, waits for
    waits_at: str = ""
    reached: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    pending: list[tuple[str, bytes, bytes]] = field(default_factory=list)

    def at(self, step: str) -> None:
        if self.waits_at == step:
            self.reached.release()
            assert self.gate.wait(WAIT_S)
        if self.fails_at == step:
            raise self.error

    def sink(self) -> FakeLog:
        self.at("open")
        self.opened += 1
        return self

    def send(self, topic: str, key: bytes, value: bytes) -> None:
        self.at("send")
        self.pending.append((topic, key, value))

    def flush(self) -> None:
        self.at("flush")
        self.flushed.append(self.pending)
        self.pending = []

    def close(self) -> None:
        self.pending = []
        self.closed += 1


class Stage:
    def __init__(self, **log: Any) -> None:
        self.log = FakeLog(**log)
        self.metrics = MemoryMetrics()
        self.now_s = 0.0
        self.writer = TopicWriter(self.log, "chat", self.metrics, monotonic_s=lambda: self.now_s)  # type: ignore[arg-type]

    def submit(self, *values: bytes) -> Submission:
        return self.writer.submit([(b"k", value) for value in values])

    def values(self) -> list[list[bytes]]:
        return [[value for _, _, value in group] for group in self.log.flushed]


def failure(written: Future[None]) -> NotTaken:
    with pytest.raises(NotTaken) as raised:
        written.result(WAIT_S)
    return raised.value


def test_a_request_is_done_once_it_is_flushed() -> None:
    stage = Stage()
    stage.submit(b"1", b"2").written.result(WAIT_S)
    assert stage.log.flushed == [[("chat", b"k", b"1"), ("chat", b"k", b"2")]]


def test_requests_that_come_during_a_flush_share_the_next_in_their_order() -> None:
    stage = Stage(waits_at="flush")
    first = stage.submit(b"1")
    assert stage.log.reached.acquire(timeout=WAIT_S)
    others = [stage.submit(b"%d" % number) for number in range(2, 9)]
    stage.log.gate.set()
    for submission in (first, *others):
        submission.written.result(WAIT_S)
    assert stage.values() == [[b"1"], [b"%d" % number for number in range(2, 9)]]
    assert stage.metrics.observed("intake_group_requests") == [1, 7]


def test_a_group_is_no_larger_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "GROUP_BYTES", 10)
    stage = Stage(waits_at="open")
    submissions = [stage.submit(b"123456") for _ in range(2)] + [stage.submit(b"x" * 50), stage.submit(b"1")]
    stage.log.gate.set()
    for submission in submissions:
        submission.written.result(WAIT_S)
    assert stage.values() == [[b"123456"], [b"123456"], [b"x" * 50], [b"1"]]


def test_a_log_that_cannot_be_opened_means_nothing_written_and_is_tried_again() -> None:
    stage = Stage(fails_at="open")
    said = failure(stage.submit(b"1").written)
    assert not said.may_be_written
    assert "broker" not in str(said), "where Kafka is stands in the log alone"
    stage.log.fails_at = ""
    stage.submit(b"2").written.result(WAIT_S)
    assert stage.values() == [[b"2"]]


def test_a_topic_that_is_missing_means_nothing_written() -> None:
    stage = Stage(fails_at="send", error=TopicMissing("no topic"))
    said = failure(stage.submit(b"1").written)
    assert (said.may_be_written, str(said)) == (False, "no topic")
    assert stage.log.closed == 1


@pytest.mark.parametrize("error", [LogUnavailable("no answer"), ZeroDivisionError("a bug")])
def test_a_flush_that_fails_means_not_known_to_each_of_its_requests_and_the_next_has_another_sink(
    error: Exception,
) -> None:
    stage = Stage(fails_at="flush", error=error, waits_at="open")
    both = [stage.submit(b"1"), stage.submit(b"2")]
    stage.log.gate.set()
    assert all(failure(one.written).may_be_written for one in both)
    stage.log.fails_at = ""
    stage.submit(b"3").written.result(WAIT_S)
    assert stage.values() == [[b"3"]]
    assert (stage.log.opened, stage.log.closed) == (2, 1)


@pytest.mark.parametrize("step", ["open", "flush"])
def test_a_request_is_taken_back_while_its_turn_has_not_come(step: str) -> None:
    stage = Stage(waits_at=step)
    first = stage.submit(b"1")
    assert stage.log.reached.acquire(timeout=WAIT_S)
    second = stage.submit(b"2")
    assert stage.writer.withdraw(second)
    assert not failure(second.written).may_be_written
    assert stage.writer.withdraw(first) is (step == "open")
    stage.log.gate.set()
    assert stage.writer.stop(WAIT_S)
    assert stage.values() == ([] if step == "open" else [[b"1"]])


def test_a_writer_that_hangs_says_for_how_long() -> None:
    stage = Stage(waits_at="flush")
    assert stage.writer.stuck_s() == 0
    submission = stage.submit(b"1")
    assert stage.log.reached.acquire(timeout=WAIT_S)
    stage.now_s = 7.0
    assert stage.writer.stuck_s() == 7
    stage.log.gate.set()
    submission.written.result(WAIT_S)
    assert stage.writer.stop(WAIT_S)
    assert stage.writer.stuck_s() == 0


def test_what_waits_is_written_before_the_end() -> None:
    stage = Stage(waits_at="open")
    submissions = [stage.submit(b"1"), stage.submit(b"2")]
    stage.log.gate.set()
    assert stage.writer.stop(WAIT_S)
    assert all(one.written.done() for one in submissions)
    assert [value for group in stage.values() for value in group] == [b"1", b"2"]
    assert stage.log.closed == 1


def test_a_writer_without_work_has_no_thread() -> None:
    stage = Stage()
    assert stage.writer.stop(0)
    assert stage.log.opened == 0
