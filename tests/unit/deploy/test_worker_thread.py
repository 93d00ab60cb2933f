"""A worker thread: ending untold fails the health check, ending as told does not, and its status is on the board."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from deploy.status import Board
from deploy.worker_thread import WorkerDied, WorkerThread
from streaming.clock import ManualClock


class FakeStore:
    """A dict."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def put(self, key: str, value: bytes) -> None:
        self.held[key] = value

    def values(self) -> list[bytes]:
        return list(self.held.values())


def ignore(_: dict[str, Any]) -> None:
    """Posts nowhere."""


def test_a_loop_that_dies_makes_the_check_fail_with_its_cause() -> None:
    died = threading.Event()

    def run(_: threading.Event) -> None:
        died.set()
        raise ValueError("fenced")

    worker = WorkerThread("room-worker-0", run, dict, ignore)
    died.wait(5)
    worker.join(5)
    with pytest.raises(WorkerDied, match="room-worker-0 has ended: ValueError: fenced"):
        worker.check()
    worker.stop(5)


def test_a_loop_that_is_told_to_end_is_waited_for_and_is_well() -> None:
    flushed = threading.Event()

    def run(stop: threading.Event) -> None:
        stop.wait(5)
        flushed.set()

    worker = WorkerThread("w", run, dict, ignore)
    worker.check()
    assert worker.stop(5)
    assert flushed.is_set()
    worker.check()


def test_a_post_replaces_the_one_before_and_an_old_one_is_gone() -> None:
    store, clock = FakeStore(), ManualClock()
    board = Board(store, clock)
    board.write("room-worker", 1, 7, "0", {"n": 1})
    board.write("room-worker", 0, 8, "0", {})
    board.write("room-worker", 1, 9, "0", {"n": 2})
    posts = board.read().processes
    assert [(post.rank, post.pid, post.detail) for post in posts] == [(0, 8, {}), (1, 9, {"n": 2})]
    clock.advance(10_001)
    assert board.read().processes == []
