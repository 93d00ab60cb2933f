"""What a replica's columns say, against counting again; and a viewer's own columns, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from streaming.events import (
    ActivityBucket,
    Arrival,
    RoomId,
    RoomState,
    StreamerHabit,
    StreamerId,
    ViewerId,
    ViewerProfile,
    Visit,
)
from training.features.features import (
    ENTRIES,
    FIRST_ENTRIES,
    MESSAGES,
    NEWCOMERS,
    ROOM_FEATURES,
    SERVED,
    SPANS_S,
    room_features,
    served,
)
from training.features.room_columns import LiveRooms
from training.features.viewer_columns import ProfileReader

NOW_MS = 1_700_000_000_000 // 10_000 * 10_000 + 2_500


def state(room: str = "r", **fields: object) -> RoomState:
    named = {"room": RoomId(room), "streamer": StreamerId(f"of {room}"), "status": "live", "title": "", "category": ""}
    rest = {"language": "", "tags": (), "mature": False, "started_at_ms": NOW_MS - 60_000, "described_at_ms": 0}
    return RoomState(**{**named, **rest, **fields})  # type: ignore[arg-type]


def hear(live: LiveRooms, slot: int, state: RoomState) -> None:
    """Takes a state in as a replica does."""
    live.set(slot, state)
    live.hear(slot, state)


def drawn(random: Random, newest_ms: int) -> RoomState:
    """Messages and entries in some buckets of the ten minutes up to newest_ms."""
    counts = [random.randrange(5) for _ in range(random.randrange(1, 62))]
    starts = sorted(random.sample(range(61), random.randrange(61)), reverse=True)
    return state(
        recent_messages=tuple([1, *counts][-61:]),
        recent_messages_ms=newest_ms - 10_000 * random.randrange(3),
        recent=tuple(ActivityBucket(newest_ms - 10_000 * age, 5, random.randrange(3), 4) for age in starts),
        entered=random.randrange(30),
        left=random.choice([0, 3]),
    )


def again(state: RoomState, kind: int, span_s: int, now_ms: int) -> float:
    """The buckets that lie in the span, and of the oldest one the part that does."""
    counts: dict[int, float] = {}
    if kind == MESSAGES:
        for age, messages in enumerate(reversed(state.recent_messages)):
            counts[state.recent_messages_ms - 10_000 * age] = messages
    for bucket in state.recent:
        value = {ENTRIES: bucket.entered, FIRST_ENTRIES: bucket.first_entered, NEWCOMERS: bucket.newcomers}.get(kind)
        if value is not None:
            counts[bucket.bucket_ms] = value
    filling_ms = now_ms // 10_000 * 10_000
    first_ms = filling_ms - 1_000 * span_s
    whole = sum(count for at_ms, count in counts.items() if first_ms < at_ms <= filling_ms)
    return whole + (1 - now_ms % 10_000 / 10_000) * counts.get(first_ms, 0)


@pytest.mark.parametrize("seed", range(20))
def test_counts_of_every_span_are_those_of_the_states_buckets_however_long_ago_they_came(seed: int) -> None:
    random = Random(seed)
    live, states = LiveRooms(8), []
    for slot in range(8):
        states.append(drawn(random, (NOW_MS - random.choice([0, 0, 30_000, 300_000, 700_000])) // 10_000 * 10_000))
        live.set(slot, drawn(random, NOW_MS))  # what was there before leaves nothing behind
        live.set(slot, states[slot])
    slots_N = np.array([5, 0, 3, 7])
    counts_SKN = live.rooms(slots_N, NOW_MS).counts_SKN
    for s, span_s in enumerate(SPANS_S):
        for kind in (MESSAGES, ENTRIES, FIRST_ENTRIES, NEWCOMERS):
            expected = [again(states[slot], kind, span_s, NOW_MS) for slot in slots_N]
            np.testing.assert_allclose(counts_SKN[s, kind], expected, rtol=1e-6)


def test_a_room_that_begins_and_one_that_was_cleared_have_no_past() -> None:
    live = LiveRooms(3)
    for slot in range(2):
        live.set(slot, state(messages=9, entered=3, recent_messages=(4,), recent_messages_ms=NOW_MS // 10_000 * 10_000))
    live.clear(0)
    live.begin(1, NOW_MS)
    rooms = live.rooms(np.array([0, 1]), NOW_MS)
    assert not rooms.counts_SKN.any()
    assert not rooms.broadcast_KN.any()
    assert rooms.age_s_N[1] == 0
    column = room_features(rooms)[:, ROOM_FEATURES.index("room_silence_s")]
    assert column.tolist() == [300, 300]


def test_the_audience_is_known_once_somebody_was_seen_to_leave() -> None:
    live = LiveRooms(4)
    for slot, (entered, left) in enumerate([(9, 0), (9, 2), (8, 1), (3, 5)]):
        live.set(slot, state(entered=entered, left=left))
    rows_NC = room_features(live.rooms(np.arange(4), NOW_MS))
    np.testing.assert_array_equal(rows_NC[:, ROOM_FEATURES.index("audience")], [np.nan, 7, 7, 0])
    np.testing.assert_array_equal(rows_NC[:, ROOM_FEATURES.index("audience_rank")], [np.nan, 0, 0, 0.5])
    live.clear(1)
    rows_NC = room_features(live.rooms(np.array([1]), NOW_MS))
    assert np.isnan(rows_NC[0, [ROOM_FEATURES.index("audience"), ROOM_FEATURES.index("audience_rank")]]).all()


def test_entries_of_a_recording_are_as_of_its_own_time() -> None:
    live, days_later_ms = LiveRooms(1), NOW_MS + 10**9
    bucket_ms = NOW_MS // 10_000 * 10_000
    hear(live, 0, state(recent=(ActivityBucket(bucket_ms, 3, 1),), entries_arrived_ms=days_later_ms))
    assert live.event_now_ms(days_later_ms) == bucket_ms
    entries = live.entries(np.array([0]), days_later_ms)
    assert (entries.minute_N.tolist(), entries.newcomers_ten_minutes_N.tolist()) == ([3], [1])
    entries = live.entries(np.array([0]), days_later_ms + 700_000)
    assert entries.ten_minutes_N.tolist() == [0], "a recording that has stopped does not stay as it was"


def test_a_platform_that_was_silent_for_hours_is_no_recording() -> None:
    live = LiveRooms(2)
    said_ms, hours_later_ms = NOW_MS // 10_000 * 10_000, NOW_MS + 5 * 3_600_000
    burst = {"recent_messages": (6_000,), "recent_heard": (6_000,), "recent_messages_ms": said_ms, "chat_at_ms": NOW_MS}
    hear(live, 0, state(**burst, chat_arrived_ms=NOW_MS, recent=(ActivityBucket(said_ms, 500, 500),)))
    hear(live, 0, state(**burst, chat_arrived_ms=NOW_MS, alive_ms=hours_later_ms, described_at_ms=hours_later_ms))
    assert live.event_now_ms(hours_later_ms) == hours_later_ms
    assert live.chat_per_minute(np.array([0]), hours_later_ms).tolist() == [0]


def test_a_chat_rate_falls_to_nothing_while_no_state_comes() -> None:
    live = LiveRooms(1)
    newest_ms = NOW_MS // 10_000 * 10_000
    live_state = state(recent_messages=(9,) * 8, recent_heard=(6,) * 8, recent_messages_ms=newest_ms, chat_at_ms=NOW_MS)
    hear(live, 0, live_state)
    rates = [live.chat_per_minute(np.array([0]), newest_ms + 1_000 * later_s)[0] for later_s in range(0, 90, 5)]
    assert rates[:3] == [42, 39, 36], "six buckets, and of the one before them what still lies in the minute"
    assert rates == sorted(rates, reverse=True)
    assert rates[-4:] == [0, 0, 0, 0]


def test_states_of_earlier_builds_have_a_rate() -> None:
    live, bucket_ms = LiveRooms(2), NOW_MS // 10_000 * 10_000
    hear(live, 0, state(recent_messages=(3, 4), recent_messages_ms=bucket_ms, chat_at_ms=NOW_MS, alive_ms=NOW_MS))
    hear(live, 1, state(window_messages=5, chat_at_ms=NOW_MS, alive_ms=NOW_MS))
    assert live.chat_per_minute(np.arange(2), NOW_MS).tolist() == [7, 5]


@pytest.mark.parametrize("passed_ms", [0, 4_321, 9_999, 10_000, 65_000, 700_000])
def test_messages_of_a_span_are_those_of_the_features(passed_ms: int) -> None:
    live, now_ms = LiveRooms(3), NOW_MS + passed_ms
    bucket_ms = NOW_MS // 10_000 * 10_000
    hear(live, 0, state(recent_messages=tuple(range(1, 62)), recent_messages_ms=bucket_ms))
    hear(live, 2, state(recent_messages=(7,), recent_messages_ms=bucket_ms - 50_000))
    slots = np.array([0, 1, 2])
    counts_SKN = live.rooms(slots, now_ms).counts_SKN
    for index, span_s in enumerate(SPANS_S[:2]):
        np.testing.assert_array_equal(live.messages(slots, span_s, now_ms), counts_SKN[index, MESSAGES])


def test_of_a_burst_of_one_chatter_few_messages_count_in_any_span() -> None:
    live, bucket_ms = LiveRooms(1), NOW_MS // 10_000 * 10_000
    burst = {"recent_messages": (6_000,), "recent_heard": (3,), "recent_messages_ms": bucket_ms, "chat_at_ms": NOW_MS}
    hear(live, 0, state(**burst))
    assert [live.messages(np.array([0]), span_s, NOW_MS).tolist() for span_s in (10, 60)] == [[3], [3]]


def test_arrivals_are_counted_from_where_the_viewer_was() -> None:
    live = LiveRooms(2)
    came = [(900, "a"), (599, "a"), (70, "b"), (59, "a"), (1, "a")]
    live.set(1, state(arrivals=tuple(Arrival(NOW_MS - 1_000 * ago_s, StreamerId(name)) for ago_s, name in came)))
    arrivals = live.arrivals(np.array([0, 1]), StreamerId("a"), NOW_MS)
    assert (arrivals.minute_N.tolist(), arrivals.ten_minutes_N.tolist()) == ([0, 2], [0, 3])
    assert arrivals.all_N.tolist() == [0, 5]
    nowhere = live.arrivals(np.array([0, 1]), None, NOW_MS)
    assert (nowhere.ten_minutes_N.tolist(), nowhere.all_N.tolist()) == ([0, 0], [0, 5])
    live.set(1, state())
    assert live.arrivals(np.array([1]), StreamerId("a"), NOW_MS).all_N.tolist() == [0]


def profile(habits: Sequence[StreamerHabit], last: str) -> ViewerProfile:
    visit = Visit(RoomId("r"), StreamerId(last), NOW_MS - 9_000, NOW_MS - 5_000, 0, 1, 0, 0)
    return ViewerProfile(
        viewer=ViewerId("v"), visits=(visit,), habits=tuple(habits), room=None, total_visits=6, total_events=20,
        first_at_ms=NOW_MS - 500_000, last_at_ms=NOW_MS - 5_000, recent_events=(), appended_ms=0, repeats=3,
    )  # fmt: skip


def test_a_viewers_own_past_with_each_streamer() -> None:
    often = StreamerHabit(StreamerId("a"), 3, 0, NOW_MS - 5_000, False, 7, NOW_MS - 209_000, NOW_MS - 9_000)
    once = StreamerHabit(StreamerId("b"), 1, 0, NOW_MS - 80_000, False, 2, NOW_MS - 90_000, NOW_MS - 90_000)
    only_followed = StreamerHabit(StreamerId("c"), 0, 0, NOW_MS - 1_000, True)
    past = ProfileReader(profile([often, once, only_followed], "a"))
    streamers = [StreamerId(name) for name in ("x", "b", "a", "c")]
    own = past.viewer_room(past.rows(streamers), NOW_MS)
    assert own.visits_N.tolist() == [0, 1, 3, 0]
    assert own.messages_N.tolist() == [0, 2, 7, 0]
    assert own.silence_s_N.tolist() == [0, 80, 5, 0]
    assert own.visit_age_s_N.tolist() == [0, 90, 9, 0]
    assert own.span_s_N.tolist() == [0, 0, 200, 0]
    assert own.recency_N.tolist() == [0, 1, 0, 0]
    assert own.here_N.tolist() == [0, 0, 1, 0]
    assert (past.origin, past.streamers) == ("a", ("a", "b"))
    viewer = past.viewer(2, NOW_MS)
    assert (viewer.visits, viewer.repeats, viewer.channels, viewer.silence_s, viewer.known_s) == (6, 3, 2, 5, 500)


def test_a_habit_of_an_earlier_build_has_no_visit_age() -> None:
    past = ProfileReader(profile([StreamerHabit(StreamerId("a"), 3, 0, NOW_MS - 5_000, False)], "a"))
    own = past.viewer_room(past.rows([StreamerId("a")]), NOW_MS)
    live = LiveRooms(1)
    live.set(0, state("a"))
    past = ProfileReader(None)
    row_F = served(
        room_features(live.rooms(np.array([0]), NOW_MS)),
        own,
        live.arrivals(np.array([0]), past.origin, NOW_MS),
        ProfileReader(profile([], "a")).viewer(1, NOW_MS),
        NOW_MS,
    )[0]
    assert np.isnan(row_F[SERVED.index("own_visit_age_s")])
    assert row_F[SERVED.index("own_visits")] == 3
    assert not np.isinf(row_F).any()


def test_ranks_are_the_shares_of_rooms_with_more() -> None:
    live, random = LiveRooms(400), Random(1)
    for slot in range(300):
        live.set(slot, drawn(random, NOW_MS // 10_000 * 10_000))
    rows_NC = room_features(live.rooms(np.arange(300), NOW_MS))
    of = {"messages": "messages_300s", "entries": "entries_600s", "newcomers": "newcomers_60s", "audience": "audience"}
    for name, column in of.items():
        value_N, rank_N = rows_NC[:, ROOM_FEATURES.index(column)], rows_NC[:, ROOM_FEATURES.index(f"{name}_rank")]
        more_N = np.count_nonzero(value_N[None, :] > value_N[:, None], axis=1)
        expected_N = np.where(np.isnan(value_N), np.nan, more_N / 300).astype(np.float32)
        np.testing.assert_array_equal(rank_N, expected_N)
    assert 0 < np.isnan(rows_NC[:, ROOM_FEATURES.index("audience_rank")]).sum() < 300
