"""Tests of streaming.patience, on a clock and a machine of their own."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from streaming.clock import ManualClock
from streaming.patience import LEAST_SHARE, Patience, free_cores, growth, processor_share


def waited_s(limit_s: float, share: float) -> int:
    """After how many seconds, asked ten times a second, the patience is over."""
    clock = ManualClock()
    patience = Patience(limit_s, share=lambda: share, now_s=clock.monotonic_s)
    tenths = 0
    while not patience.is_over():
        clock.advance(100)
        tenths += 1
        assert tenths < 100_000
    return round(tenths / 10)


@pytest.mark.parametrize(("share", "expected_s"), [(1.0, 60), (0.5, 120), (0.25, 240), (0.01, 600), (0.0, 600)])
def test_limit_grows_with_what_the_machine_takes_away(share: float, expected_s: int) -> None:
    assert waited_s(60.0, share) == pytest.approx(expected_s, abs=2)


def test_machine_that_becomes_free_again_counts_seconds_in_full() -> None:
    clock, shares = ManualClock(), iter([0.1] * 20 + [1.0] * 1_000)
    patience = Patience(10.0, share=lambda: next(shares), now_s=clock.monotonic_s)
    seconds = 0
    while not patience.is_over():
        clock.advance(1_000)
        seconds += 1
    assert 26 <= seconds <= 30


def test_words_say_that_the_machine_is_busy() -> None:
    clock = ManualClock()
    patience = Patience(10.0, share=lambda: 0.2, now_s=clock.monotonic_s)
    assert "busy" not in patience.spent()
    clock.advance(5_000)
    patience.is_over()
    assert patience.spent() == "5 s; this machine is busy: a process gets 20% of a core"


def test_growth_is_bounded() -> None:
    assert growth(lambda: 1.0) == growth(lambda: 2.0) == 1
    assert growth(lambda: 0.25) == 4
    assert growth(lambda: 0.0) == 1 / LEAST_SHARE


def test_free_cores_are_those_allowed_times_what_is_left_of_them() -> None:
    assert free_cores(lambda: 1.0) == len(os.sched_getaffinity(0))
    assert free_cores(lambda: 0.25) == len(os.sched_getaffinity(0)) / 4


def spin(stop: object) -> None:
    while not stop.is_set():  # type: ignore[attr-defined]
        pass


def test_share_falls_while_others_want_the_same_core() -> None:
    """Really: this process and four that compute, on one core."""
    before = os.sched_getaffinity(0)
    context = multiprocessing.get_context("fork")
    stop = context.Event()
    os.sched_setaffinity(0, {min(before)})
    others = [context.Process(target=spin, args=(stop,), daemon=True) for _ in range(4)]
    try:
        for other in others:
            other.start()
        assert min(processor_share(0.1) for _ in range(5)) < 0.6
    finally:
        stop.set()
        for other in others:
            other.join()
        os.sched_setaffinity(0, before)
