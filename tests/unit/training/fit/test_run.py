"""Who trains gives way, and nobody else does."""

from __future__ import annotations

import os
import threading

from training.fit.run import give_way


def niceness_after(*asked: int) -> int:
    """The niceness of a thread that gives way so, one after the other."""
    found: list[int] = []

    def run() -> None:
        for niceness in asked:
            give_way(niceness)
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def test_a_thread_gives_way_alone() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness_after(before + 2) == before + 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_who_gives_way_more_already_goes_on_so() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness_after(before + 3, before + 1) == before + 3
