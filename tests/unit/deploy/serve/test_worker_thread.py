"""A worker thread: ending untold and turning no more fail the health check; ending as told does not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.http.status import Board
from deploy.serve.worker_thread import WorkerDied, WorkerThread
from streaming.clock import ManualClock
from streaming.log.watched_log import TurnCounter


class FakeStore:
    """A dict."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def put(self, key: str, value: bytes) -> None:
        self.held[key] = value

    def values(self) -> list[bytes]:
        return list(self.held.values())


def worker_of(run: Callable[[threading.Event], None], clock: ManualClock, turn_counter: TurnCounter) -> WorkerThread:
    return WorkerThread("room-worker-0", run, turn_counter=turn_counter, stuck_s=60, clock=clock)


def test_a_loop_that_dies_makes_the_check_fail_with_its_cause() -> None:
    died = threading.Event()

    def run(_: threading.Event) -> None:
        died.set()
        raise ValueError("fenced")

    worker = worker_of(run, ManualClock(), TurnCounter())
    died.wait(20)
    worker.join(20)
    with pytest.raises(WorkerDied, match="room-worker-0 has ended: ValueError: fenced"):
        worker.check()
    worker.stop(5)


def test_a_loop_that_is_told_to_end_is_waited_for_and_is_well() -> None:
    flushed = threading.Event()

    def run(stop: threading.Event) -> None:
        stop.wait(5)
        flushed.set()

    worker = worker_of(run, ManualClock(), TurnCounter())
    worker.check()
    assert worker.stop(5)
    assert flushed.is_set()
    worker.check()


class Still:
    """A worker whose loop lives and turns only where the test beats for it. Checked once a second."""

    def __init__(self) -> None:
        self.clock, self.turn_counter = ManualClock(), TurnCounter()
        self.worker = worker_of(_wait, self.clock, self.turn_counter)

    def check(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1_000)
            self.worker.check()


def _wait(stop: threading.Event) -> None:
    stop.wait()


@pytest.fixture
def still() -> Iterator[Still]:
    still = Still()
    yield still
    still.worker.stop(5)


def test_a_loop_that_lives_but_makes_no_turn_makes_the_check_fail(still: Still) -> None:
    still.check(60)
    with pytest.raises(WorkerDied, match="room-worker-0 has made no turn for 61 s"):
        still.check(1)
    with pytest.raises(WorkerDied):  # and goes on failing: Serve wants more than one failure
        still.check(1)


def test_a_turn_begins_the_count_anew(still: Still) -> None:
    still.check(59)
    still.turn_counter.count_turn()
    still.check(61)
    with pytest.raises(WorkerDied):
        still.check(1)


def test_a_process_that_was_suspended_was_not_stuck_meanwhile(still: Still) -> None:
    still.check(10)
    still.clock.advance(3_600_000)
    still.worker.check()
    still.turn_counter.count_turn()
    still.check(60)


def test_a_loop_that_is_stuck_is_not_complained_of_while_it_is_being_stopped(still: Still) -> None:
    still.worker.stop(5)
    still.check(200)


def test_a_post_replaces_the_one_before_and_an_old_one_is_gone() -> None:
    store, clock = FakeStore(), ManualClock()
    board = Board(store, clock)
    board.write("room-worker", 1, 7, "0", {"n": 1})
    board.write("room-worker", 0, 8, "0", {})
    board.write("room-worker", 1, 9, "0", {"n": 2})
    posts: list[Any] = board.read().processes
    assert [(post.rank, post.pid, post.detail) for post in posts] == [(0, 8, {}), (1, 9, {"n": 2})]
    clock.advance(10_001)
    assert board.read().processes == []
