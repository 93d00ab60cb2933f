"""Tests of what "now" is for whoever sends events."""

from __future__ import annotations

import pytest

from streaming.event_clock import EventClock

NOW_MS = 1_700_000_000_000
DAYS_MS = 10 * 86_400_000


def test_events_as_they_happen_leave_now_to_the_clock() -> None:
    clock = EventClock()
    assert clock.now_ms(NOW_MS) == NOW_MS
    clock.note(NOW_MS - 200, NOW_MS)
    assert clock.now_ms(NOW_MS + DAYS_MS) == NOW_MS + DAYS_MS, "a silence is no recording"


def test_a_recording_with_its_own_times_has_a_time_of_its_own_that_goes_on() -> None:
    clock = EventClock()
    clock.note(NOW_MS - DAYS_MS, NOW_MS)
    assert clock.now_ms(NOW_MS) == NOW_MS - DAYS_MS
    assert clock.now_ms(NOW_MS + 60_000) == NOW_MS - DAYS_MS + 60_000
    clock.note(NOW_MS - DAYS_MS + 600_000, NOW_MS + 60_000)  # played ten times as fast
    assert clock.now_ms(NOW_MS + 60_000) == NOW_MS - DAYS_MS + 600_000


@pytest.mark.parametrize("evidence", [1, 3])
def test_a_few_events_that_were_held_up_are_no_recording(evidence: int) -> None:
    clock = EventClock(evidence)
    for number in range(evidence - 1):
        clock.note(NOW_MS - DAYS_MS + number, NOW_MS + number)
    assert clock.now_ms(NOW_MS + 9) == NOW_MS + 9
    clock.note(NOW_MS - DAYS_MS + 5, NOW_MS + 5)
    assert clock.now_ms(NOW_MS + 5) == NOW_MS - DAYS_MS + 5
    clock.note(NOW_MS, NOW_MS + 6)  # somebody else is there now
    assert clock.now_ms(NOW_MS + 7) == NOW_MS + 7


def test_an_older_event_says_nothing() -> None:
    clock = EventClock()
    clock.note(NOW_MS, NOW_MS)
    clock.note(NOW_MS - DAYS_MS, NOW_MS + 1)
    assert clock.now_ms(NOW_MS + 2) == NOW_MS + 2
