"""A room's state: its life and its counts. Its texts: test_room_texts; restarts: test_room_restart."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.events import (
    Arrival,
    Outcome,
    RoomActivity,
    RoomEnded,
    RoomId,
    RoomStarted,
    RoomState,
    RoomUpdated,
    StreamerId,
)
from streaming.log.codec import Decoder, encode
from streaming.log.topics import ROOM_STATES, ROOMS
from streaming.room.room import RoomAggregate
from streaming.room.window_config import WindowConfig
from tests.unit.streaming.room.scripted_room import START_MS, Room


def test_a_room_has_no_state_before_it_starts_and_keeps_what_came_before() -> None:
    room = Room()
    assert room.say("early bird", 0) is Outcome.ORPHAN
    assert room.enter(0) is Outcome.ORPHAN
    assert room.aggregate.state(START_MS) is None
    assert not room.aggregate.started
    room.start(1)
    assert (room.state.messages, room.state.entered) == (1, 1)


def test_an_update_of_an_unknown_room_starts_it() -> None:
    room = Room()
    assert room.update(5, "compacted away") is Outcome.APPLIED
    assert (room.state.title, room.state.status) == ("compacted away", "live")
    assert room.start(1, "the first title") is Outcome.RESTARTED, "it says the tags"
    assert (room.state.title, room.state.tags) == ("compacted away", ("x",))
    assert room.state.started_at_ms == START_MS + 1_000
    assert room.start(0, "an earlier one") is Outcome.STALE


def test_the_description_with_the_newest_time_is_in_force() -> None:
    room = Room()
    room.start(0, "first")
    room.update(10, "third")
    assert room.update(5, "second") is Outcome.STALE
    assert room.state.title == "third"
    room.update(10, "corrected")
    assert room.state.title == "corrected"


def test_an_end_is_final_until_a_later_start() -> None:
    room = Room()
    room.start(0)
    assert room.end(100) is Outcome.ENDED
    assert room.end(101) is Outcome.STALE
    assert room.update(120, "too late") is Outcome.AFTER_END
    assert room.start(99) is Outcome.STALE
    assert room.say("still here", 120) is Outcome.AFTER_END
    assert room.enter(120) is Outcome.AFTER_END
    assert (room.state.status, room.state.ended_at_ms, room.state.messages) == ("ended", START_MS + 100_000, 1)
    assert room.start(130, "again") is Outcome.REVIVED
    assert (room.state.status, room.state.ended_at_ms, room.state.title) == ("live", 0, "again")


def test_an_end_whose_clock_is_behind_ends_the_room_all_the_same() -> None:
    room = Room()
    room.start(10)
    room.end(3)
    assert room.state.status == "ended"
    assert room.start(10) is Outcome.STALE, "the same start, delivered again"


@pytest.mark.parametrize("ahead_s", [0, 30, 7_200])
def test_a_room_that_starts_again_in_the_moment_of_its_end_is_live(ahead_s: int) -> None:
    """A producer that writes whole seconds, or whose clock is fast: what is sent together is appended at one time."""
    room = Room()
    room.start(0)
    now_ms = START_MS + 100_000
    said_ms = now_ms + 1_000 * ahead_s
    room.aggregate.apply_lifecycle(RoomEnded(room="r", at_ms=said_ms), 10, now_ms)
    again = RoomStarted(room="r", streamer="s", at_ms=said_ms, title="again")
    assert room.aggregate.apply_lifecycle(again, 11, now_ms) is Outcome.REVIVED
    assert (room.state.status, room.state.title) == ("live", "again")


NAMED = ("title", "category", "language", "tags", "mature")
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["", "a", "b"]), "category": st.sampled_from(["", "Chess"]),
        "language": st.sampled_from(["", "pt"]), "tags": st.sampled_from([[], ["x"]]), "mature": st.booleans(),
    },
)  # fmt: skip


@settings(deadline=None)
@given(
    said=st.lists(st.tuples(st.integers(0, 6), st.booleans(), VALUES), min_size=1, max_size=8), cut=st.integers(0, 7)
)
def test_each_part_of_a_description_is_as_whoever_named_it_last_says(
    said: list[tuple[int, bool, dict[str, Any]]], cut: int
) -> None:
    room = Room()
    wanted: dict[str, tuple[int, Any]] = {}
    for place, (at_s, starts, values) in enumerate(said):
        at_ms, kind = START_MS + 1_000 * at_s, RoomStarted if starts else RoomUpdated
        room.aggregate.apply_lifecycle(
            kind(room="r", streamer="s", at_ms=at_ms, **values), place, START_MS + 60_000 + place
        )
        for name in NAMED if starts else values:
            if at_s >= wanted.get(name, (0, None))[0]:
                wanted[name] = (at_s, values.get(name, NONE[name]))
        if place == cut:
            aggregate = RoomAggregate(RoomId("r"), WindowConfig())
            aggregate.restore(Decoder(ROOM_STATES)(encode(room.state)))
            room.aggregate = aggregate
    assert described(room.state) == NONE | {name: value for name, (_, value) in wanted.items()}
    assert room.state.described_at_ms <= START_MS + 1_000 * max(at_s for at_s, _, _ in said)


def test_a_room_is_mature_though_who_says_so_has_a_slower_clock_or_comes_late() -> None:
    room = Room()
    room.start(0)
    room.update(10, "a new title")
    late = RoomUpdated(room="r", streamer="s", at_ms=START_MS + 6_000, mature=True)
    assert room.aggregate.apply_lifecycle(late, 90, START_MS + 11_000) is Outcome.APPLIED
    assert (room.state.mature, room.state.title) == (True, "a new title")
    updated_first = Room()
    updated_first.update(10, "a title")
    start = RoomStarted(room="r", streamer="s", at_ms=START_MS, title="the first", category="Chess", mature=True)
    updated_first.aggregate.apply_lifecycle(start, 90, START_MS + 11_000)
    state = updated_first.state
    assert (state.mature, state.category, state.title) == (True, "Chess", "a title")


SAID = {"title": "a title", "category": "Chess", "language": "pt", "tags": ["x"], "mature": True}
NONE = {"title": "", "category": "", "language": "", "tags": [], "mature": False}


def described(state: RoomState) -> dict[str, object]:
    return {name: list(value) if name == "tags" else value for name in SAID for value in [getattr(state, name)]}


@pytest.mark.parametrize("named", SAID)
@pytest.mark.parametrize("restarted", [False, True])
def test_an_update_leaves_what_it_does_not_name_and_clears_what_it_says_is_none(named: str, restarted: bool) -> None:
    room = Room()
    decode = Decoder(ROOMS)
    started = decode(json.dumps({"type": "started", "room": "r", "streamer": "s", "at_ms": START_MS, **SAID}).encode())
    room.aggregate.apply_lifecycle(started, 1, START_MS)
    if restarted:
        aggregate = RoomAggregate(RoomId("r"), WindowConfig())
        aggregate.restore(room.state)
        room.aggregate = aggregate
    update = {"type": "updated", "room": "r", "streamer": "s", "at_ms": START_MS + 5, named: NONE[named]}
    room.aggregate.apply_lifecycle(decode(json.dumps(update).encode()), 2, START_MS + 5)
    assert described(room.state) == {**SAID, named: NONE[named]}


def test_an_update_of_nothing_changes_nothing() -> None:
    room = Room()
    room.aggregate.apply_lifecycle(RoomStarted(room="r", streamer="s", at_ms=START_MS, **SAID), 1, START_MS)  # type: ignore[arg-type]
    room.aggregate.apply_lifecycle(RoomUpdated(room="r", streamer="s", at_ms=START_MS + 5), 2, START_MS + 5)
    assert described(room.state) == SAID
    assert room.state.described_at_ms == START_MS + 5


def test_a_start_says_everything() -> None:
    room = Room()
    room.aggregate.apply_lifecycle(RoomStarted(room="r", streamer="s", at_ms=START_MS, **SAID), 1, START_MS)  # type: ignore[arg-type]
    room.aggregate.apply_lifecycle(RoomStarted(room="r", streamer="s", at_ms=START_MS + 5), 2, START_MS + 5)
    assert described(room.state) == NONE


def test_a_start_of_a_live_room_is_an_update() -> None:
    room = Room()
    room.start(0)
    assert room.start(20, "other title") is Outcome.RESTARTED
    assert (room.state.title, room.state.started_at_ms) == ("other title", START_MS)


def test_a_presumed_end_is_undone_by_any_sign_of_life() -> None:
    signs: tuple[Callable[[Room], Outcome], ...] = (
        lambda room: room.say("back", 2_000),
        lambda room: room.enter(2_000),
    )
    for revive in signs:
        room = Room()
        room.start(0)
        room.aggregate.presume_ended()
        assert (room.state.status, room.state.ended_at_ms) == ("presumed_ended", START_MS)
        again = RoomAggregate(RoomId("r"), WindowConfig())
        again.restore(room.state)
        assert again.status == "presumed_ended"
        revive(room)
        assert (room.state.status, room.state.ended_at_ms) == ("live", 0)


def test_recent_entries_are_those_of_ten_minutes_before_the_newest() -> None:
    room = Room()
    room.start()
    for at_s in (0, 5, 290, 905, 200):
        room.enter(at_s)
    assert [(bucket.bucket_ms - START_MS) // 1_000 for bucket in room.state.recent] == [900]
    room.enter(
        300
    )  # ten minutes before the newest bucket began: a part of it lies within ten minutes of any event there
    assert [(bucket.bucket_ms - START_MS) // 1_000 for bucket in room.state.recent] == [300, 900]
    assert room.state.entered == 6


def test_messages_are_counted_by_ten_seconds_late_ones_too_and_copies_once() -> None:
    room = Room()
    room.start()
    for at_s, text in ((1, "a"), (2, "a"), (2, "a"), (31, "b"), (119, "c"), (12, "late")):
        room.say(text, at_s)
    assert room.state.recent_messages == (2, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1)
    assert room.state.recent_messages_ms == START_MS + 110_000
    assert sum(room.state.recent_messages) == room.state.messages


@settings(max_examples=100, deadline=None, derandomize=True)
@given(random=st.randoms(use_true_random=False))
def test_activity_in_any_order_and_any_parts_gives_the_same_state(random: Random) -> None:
    came = [Arrival(START_MS + random.randrange(900) * 1_000, StreamerId(random.choice("pqr"))) for _ in range(80)]
    parts = [_activity([arrival]) for arrival in came]
    random.shuffle(came)
    whole: dict[int, list[Arrival]] = {}
    for arrival in came:
        whole.setdefault(arrival.at_ms // 10_000, []).append(arrival)
    states = []
    for activities in (parts, [_activity(sorted(together)[-32:], len(together)) for together in whole.values()]):
        room = Room()
        room.start()
        for offset, activity in enumerate(activities):
            room.aggregate.apply_activity(activity, offset, START_MS)
        states.append((room.state.recent, room.state.arrivals, room.state.entered, room.state.first_entered))
    assert states[0] == states[1]
    assert 0 < len(states[0][1]) <= 32


def _activity(came: list[Arrival], entered: int = 1) -> RoomActivity:
    bucket_ms = came[0].at_ms // 10_000 * 10_000
    return RoomActivity(
        room=RoomId("r"), bucket_ms=bucket_ms, entered=entered, first_entered=entered, arrivals=tuple(came)
    )


def test_a_state_of_an_earlier_build_is_read_and_folds_on() -> None:
    room = Room()
    room.start()
    room.enter(5)
    fields = msgspec.msgpack.decode(encode(room.state))
    names = [field.name for field in msgspec.structs.fields(RoomState)]
    fields[names.index("recent")] = [bucket[:3] for bucket in fields[names.index("recent")]]
    aggregate = RoomAggregate(RoomId("r"), WindowConfig())
    aggregate.restore(Decoder(ROOM_STATES)(msgspec.msgpack.encode(fields[: names.index("recent_messages")])))
    state = aggregate.state(START_MS)
    assert state is not None
    assert (state.entered, state.first_entered, state.recent_messages) == (1, 0, ())
    aggregate.apply_chats([("v", "hi", START_MS + 7_000, 0, START_MS + 7_000)], [0] * len(Outcome))
    assert aggregate.state(START_MS).recent_messages == (1,)  # type: ignore[union-attr]
