"""Tests of guests: they go where a list leads, name it, prefer what stands high, and differ from one another."""

from __future__ import annotations

from collections import Counter

import numpy as np

from streaming.events import ViewerEvent
from streaming.simulated.guests import PREFIX, Guests, ListedRoom

START_MS = 1_764_000_000_000
LIST = [ListedRoom(f"room-{place}", f"streamer-{place}") for place in range(1, 11)]


def played(guests: Guests, seconds: int) -> tuple[list[ViewerEvent], dict[str, str]]:
    """The events of so many seconds of time, and to whom each list went, by its request_id."""
    events: list[ViewerEvent] = []
    lists: dict[str, str] = {}
    for now_ms in range(START_MS, START_MS + 1_000 * seconds, 500):
        events += guests.until(now_ms)
        while (viewer := guests.looking()) is not None:
            request_id = f"q{len(lists)}"
            lists[request_id] = viewer
            guests.see(request_id, LIST, now_ms)
    return events, lists


def test_an_enter_names_the_list_and_the_place_where_the_room_stood() -> None:
    events, lists = played(Guests(100, START_MS), 120)
    enters = [event for event in events if event.action == "enter"]
    assert len(enters) > 100
    for event in enters:
        assert lists[event.request_id] == event.viewer
        assert LIST[event.position - 1].room == event.room
    assert events == sorted(events, key=lambda event: event.at_ms)


def test_a_guest_is_in_one_room_at_a_time_and_looks_at_no_list_there() -> None:
    events, _ = played(Guests(50, START_MS), 300)
    room: dict[str, str] = {}
    for event in events:
        if event.action == "enter":
            assert event.viewer not in room
            room[event.viewer] = event.room
        elif event.action == "leave":
            assert room.pop(event.viewer) == event.room
        else:
            assert room[event.viewer] == event.room


def test_what_stands_high_is_entered_most() -> None:
    events, _ = played(Guests(400, START_MS), 300)
    counts = Counter(event.position for event in events if event.action == "enter")
    assert counts[1] > counts[3] > counts[6] > counts[10] > 0


def test_guests_differ_more_than_chance() -> None:
    events, lists = played(Guests(200, START_MS), 900)
    looks = Counter(lists.values())
    enters = Counter(event.viewer for event in events if event.action == "enter")
    rates = np.array([enters[viewer] / looks[viewer] for viewer in looks])
    mean, typical = rates.mean(), np.mean([*looks.values()])
    assert rates.var() > 2 * mean * (1 - mean) / typical


def test_the_same_seed_and_lists_make_the_same_events_and_a_gain_makes_more() -> None:
    first, _ = played(Guests(200, START_MS), 200)
    assert played(Guests(200, START_MS), 200)[0] == first
    half = {f"{PREFIX}{number:05d}" for number in range(100)}
    more, lists = played(Guests(200, START_MS, gain=lambda viewer: 3.0 if viewer in half else 1.0), 200)
    enters = Counter(event.viewer in half for event in more if event.action == "enter")
    looks = Counter(viewer in half for viewer in lists.values())
    assert enters[True] / looks[True] > 1.3 * enters[False] / looks[False]
