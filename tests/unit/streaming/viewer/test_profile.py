"""Tests of what a viewer's profile promises, and what it books for rooms. Never tests the loop around it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.errors import ConfigError
from streaming.events import Action, Arrival, Outcome, RoomActivity, RoomId, ViewerEvent, ViewerId, ViewerProfile
from streaming.log.codec import Decoder
from streaming.log.topics import VIEWER_PROFILES
from streaming.room.activity import MAX_ARRIVALS, ActivityBook, is_sign_of_life
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig

START_MS = 1_700_000_000_000


class Feed:
    """Feeds one viewer's fold, times in seconds."""

    def __init__(self, config: ProfileConfig | None = None) -> None:
        self.aggregate = ProfileAggregate(ViewerId("v"), config or ProfileConfig())
        self.book = ActivityBook()

    def do(self, action: Action, room: str, at_s: float, seconds: float = 0) -> Outcome:
        at_ms = START_MS + int(at_s * 1_000)
        event = ViewerEvent(viewer="v", room=room, streamer=f"of {room}", action=action, at_ms=at_ms, seconds=seconds)
        return self.aggregate.apply(event, at_ms, self.book)

    def totals(self, room: str) -> dict[str, int]:
        """Sums over all buckets, without those that are 0."""
        return totals(self.book.drain(), room)

    @property
    def profile(self) -> ViewerProfile:
        return self.aggregate.profile()


def totals(activity: Sequence[RoomActivity], room: str) -> dict[str, int]:
    names = ("entered", "newcomers", "left", "watch_ms", "likes", "gifts", "follows")
    sums = {name: sum(getattr(one, name) for one in activity if one.room == room) for name in names}
    return {name: amount for name, amount in sums.items() if amount}


def newest(activity: Sequence[RoomActivity], room: str) -> list[Arrival]:
    """The newest arrivals, as a room keeps them."""
    return sorted(arrival for one in activity if one.room == room for arrival in one.arrivals)[-MAX_ARRIVALS:]


def test_a_visit_collects_what_the_viewer_does_in_it() -> None:
    feed = Feed()
    actions: tuple[Action, ...] = ("enter", "chat", "like", "gift", "follow")
    for action in actions:
        feed.do(action, "a", 1)
    feed.do("watch", "a", 31, seconds=30)
    feed.do("leave", "a", 40)
    (visit,), (habit,) = feed.profile.visits, feed.profile.habits
    assert (visit.room, visit.streamer, visit.watch_ms, visit.chats, visit.likes, visit.gifts) == (
        "a", "of a", 30_000, 1, 1, 1,
    )  # fmt: skip
    assert (visit.entered_at_ms, visit.last_at_ms) == (START_MS + 1_000, START_MS + 40_000)
    assert (habit.visits, habit.watch_ms, habit.followed) == (1, 30_000, True)
    assert feed.profile.room is None
    assert feed.totals("a") == {
        "entered": 1, "newcomers": 1, "left": 1, "watch_ms": 30_000, "likes": 1, "gifts": 1, "follows": 1,
    }  # fmt: skip


def test_entering_another_room_leaves_the_first() -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    feed.do("enter", "b", 60)
    assert feed.profile.room == "b"
    activity = feed.book.drain()
    assert totals(activity, "a") == {"entered": 1, "newcomers": 1, "left": 1, "watch_ms": 60_000}
    assert totals(activity, "b") == {"entered": 1}
    assert feed.do("leave", "a", 61) is Outcome.STALE
    assert feed.totals("a") == {}


def test_an_action_without_an_enter_opens_a_visit() -> None:
    feed = Feed()
    feed.do("chat", "a", 0)
    feed.do("chat", "a", 5)
    assert feed.profile.room == "a"
    assert [visit.chats for visit in feed.profile.visits] == [2]
    assert feed.totals("a") == {"entered": 1, "newcomers": 1}


def test_only_the_first_visit_ever_is_a_newcomers() -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    feed.do("enter", "b", 10)
    feed.do("enter", "a", 20)
    assert feed.profile.total_visits == 3
    assert totals(feed.book.drain(), "a")["newcomers"] == 1


def test_entering_again_after_a_reload_continues_the_visit_and_after_hours_does_not() -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    feed.do("enter", "a", 60)
    assert feed.profile.total_visits == 1
    feed.do("enter", "a", 10_000)
    assert feed.profile.total_visits == 2
    assert feed.totals("a") == {"entered": 2, "newcomers": 1, "left": 1, "watch_ms": 1_800_000}, "the gap is capped"


def test_silence_ends_a_visit_by_time_alone_as_the_next_event_would_have() -> None:
    by_time, by_event = Feed(), Feed()
    for feed in (by_time, by_event):
        feed.do("enter", "a", 0)
        feed.do("chat", "a", 100)
    assert not by_time.aggregate.lapse(START_MS + 1_899_999, by_time.book)
    assert by_time.aggregate.present_until_ms == START_MS + 1_900_000
    assert by_time.aggregate.lapse(START_MS + 7_200_000, by_time.book)
    assert (by_time.profile.room, by_time.aggregate.present_until_ms) == (None, None)
    assert not by_time.aggregate.lapse(START_MS + 7_200_000, by_time.book), "once"
    for feed in (by_time, by_event):
        feed.do("enter", "b", 18_000)
    assert by_time.profile == by_event.profile
    activity = by_time.book.drain()
    assert activity == by_event.book.drain()
    assert totals(activity, "a")["left"] == sum(one.lapsed for one in activity) == 1
    assert totals(activity, "b") == {"entered": 1}


@pytest.mark.parametrize("action", ["enter", "watch", "chat", "like", "gift", "follow"])
def test_whatever_a_viewer_does_in_their_room_says_that_they_are_there(action: Action) -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    feed.do(action, "a", 1_700)
    assert not feed.aggregate.lapse(START_MS + 3_400_000, feed.book)
    assert feed.profile.room == "a"
    assert feed.aggregate.lapse(START_MS + 3_500_000, feed.book)


def test_what_a_viewer_does_elsewhere_does_not_keep_them_in_a_room() -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    feed.do("follow", "b", 1_000)
    assert feed.profile.room == "a"
    feed.do("like", "b", 1_801)
    assert feed.profile.room is None


@pytest.mark.parametrize("action", ["like", "follow"])
def test_who_likes_or_follows_from_a_list_is_in_no_room(action: Action) -> None:
    feed = Feed()
    feed.do(action, "a", 0)
    assert (feed.profile.room, feed.profile.visits, feed.profile.total_visits) == (None, (), 0)
    assert feed.profile.habits[0].followed is (action == "follow")
    assert feed.totals("a") == {action + "s": 1}
    feed.do("enter", "b", 10)
    feed.do(action, "a", 20)
    assert feed.profile.room == "b"


@pytest.mark.parametrize("action", ["watch", "chat", "gift"])
def test_what_is_only_done_in_a_room_says_where_a_viewer_is(action: Action) -> None:
    feed = Feed()
    feed.do(action, "a", 0)
    assert feed.profile.room == "a"
    assert feed.totals("a")["entered"] == 1


@pytest.mark.parametrize("action", ["enter", "leave", "watch", "chat", "like", "gift", "follow"])
def test_every_event_in_a_room_is_told_to_it(action: Action) -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    feed.book.drain()
    feed.do(action, "a", 30)
    feed.do(action, "elsewhere", 31)
    assert {one.room for one in feed.book.drain() if one.bucket_ms >= START_MS + 30_000} >= {"a", "elsewhere"}


@pytest.mark.parametrize("action", ["enter", "leave", "watch", "chat", "like", "gift", "follow"])
def test_every_event_is_a_sign_of_life_of_its_room_though_a_viewer_is_found_silent_in_the_same_moment(
    action: Action,
) -> None:
    config, book = ProfileConfig(), ActivityBook()
    silent, other = (ProfileAggregate(ViewerId(name), config) for name in ("silent", "other"))

    def do(aggregate: ProfileAggregate, action: Action, room: str, at_s: float) -> None:
        at_ms = START_MS + int(1_000 * at_s)
        event = ViewerEvent(viewer=aggregate.viewer, room=room, streamer="s", action=action, at_ms=at_ms, seconds=5)
        aggregate.apply(event, at_ms, book)

    do(silent, "enter", "r", 0)
    do(other, "enter", "r", config.presence_timeout_s - 20)
    book.drain()
    assert silent.lapse(START_MS + 1_000 * config.presence_timeout_s, book)
    assert [is_sign_of_life(one) for one in book.drain()] == [False]
    do(silent, "enter", "r", config.presence_timeout_s)
    book.drain()
    do(other, "enter", "r", 2 * config.presence_timeout_s - 20)
    book.drain()
    do(silent, "follow", "elsewhere", 2 * config.presence_timeout_s + 1)  # by which the viewer is found silent in r
    do(other, action, "r", 2 * config.presence_timeout_s + 2)
    drained = [one for one in book.drain() if one.room == "r"]
    assert sorted(map(is_sign_of_life, drained)) == [False, True]
    assert sum(one.lapsed for one in drained) == 1


@pytest.mark.parametrize("ahead_s", [0, 5, 50])
@pytest.mark.parametrize("action", ["enter", "watch", "chat", "gift"])
def test_who_leaves_has_left_though_the_clock_that_saw_them_come_is_fast(action: Action, ahead_s: int) -> None:
    aggregate, book = ProfileAggregate(ViewerId("v"), ProfileConfig()), ActivityBook()

    def do(action: Action, room: str, at_s: float, ahead_s: float = 0) -> None:
        at_ms = START_MS + int(1_000 * at_s)
        said_ms = at_ms + int(1_000 * ahead_s)
        event = ViewerEvent(viewer="v", room=room, streamer="s", action=action, at_ms=said_ms)
        aggregate.apply(event, at_ms, book)

    do(action, "a", 0, ahead_s)
    assert aggregate.room == "a"
    do("leave", "a", 3)
    assert aggregate.room is None
    do("enter", "a", 10, ahead_s)
    do("enter", "b", 13)
    assert aggregate.room == "b"
    sums = book.drain()
    assert [totals(sums, room).get("left", 0) for room in "ab"] == [2, 0]
    assert max(one.bucket_ms for one in sums) <= START_MS + 13_000


@pytest.mark.parametrize("action", ["enter", "leave", "follow"])
def test_an_event_of_a_fast_clock_that_comes_twice_counts_once(action: Action) -> None:
    feed = Feed()
    feed.do("enter", "r", 0)
    event = ViewerEvent(viewer="v", room="r", streamer="of r", action=action, at_ms=START_MS + 40_000)
    assert feed.aggregate.apply(event, START_MS + 5_000, feed.book) is Outcome.APPLIED
    assert feed.aggregate.apply(event, START_MS + 6_000, feed.book) is Outcome.DUPLICATE


def test_a_time_out_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"profile\.presence_timeout_s is 0"):
        ProfileConfig(presence_timeout_s=0)


def test_a_late_enter_is_a_visit_of_the_past_and_moves_nobody() -> None:
    feed = Feed()
    feed.do("enter", "b", 100)
    feed.do("enter", "a", 50)
    assert feed.profile.room == "b"
    assert [visit.room for visit in feed.profile.visits] == ["a", "b"]
    activity = feed.book.drain()
    assert totals(activity, "a") == {"entered": 1, "left": 1}
    assert totals(activity, "b") == {"entered": 1, "newcomers": 1}


def test_a_late_action_goes_to_the_visit_it_belongs_to() -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    feed.do("leave", "a", 50)
    feed.do("enter", "b", 60)
    feed.do("like", "a", 40)
    feed.do("watch", "a", 55, seconds=5)
    feed.do("gift", "never entered", 30)
    assert [(visit.room, visit.likes, visit.watch_ms) for visit in feed.profile.visits] == [
        ("a", 1, 55_000),
        ("b", 0, 0),
    ]
    assert feed.profile.room == "b"
    assert feed.totals("never entered") == {"gifts": 1}


@pytest.mark.parametrize("action", ["enter", "leave", "follow"])
def test_what_is_so_once_is_so_once_however_often_it_is_said_of_a_moment(action: Action) -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    feed.do(action, "a", 1)
    before = feed.profile
    feed.book.drain()
    assert feed.do(action, "a", 1) is Outcome.DUPLICATE
    assert feed.do("enter", "a", 0) is Outcome.DUPLICATE
    assert feed.profile == before
    assert feed.book.drain() == []


@pytest.mark.parametrize(
    ("action", "totals"),
    [("gift", {"gifts": 5}), ("like", {"likes": 5}), ("watch", {"watch_ms": 10_000}), ("chat", {})],
)
@pytest.mark.parametrize("later", [False, True])
def test_five_equal_events_of_one_millisecond_are_five(action: Action, totals: dict[str, int], later: bool) -> None:
    feed = Feed()
    feed.do("enter", "a", 0)
    if later:  # the five come behind something newer
        feed.do("watch", "a", 60)
    feed.book.drain()
    assert [feed.do(action, "a", 1, seconds=2) for _ in range(5)] == [Outcome.APPLIED] * 5
    assert feed.totals("a") == totals
    (visit,) = feed.profile.visits
    assert {"gift": visit.gifts, "like": visit.likes, "watch": visit.watch_ms // 2_000, "chat": visit.chats}[
        action
    ] == 5


@given(st.sampled_from(["enter", "leave", "follow", "gift", "like", "watch", "chat"]), st.integers(1, 15))
def test_an_event_with_an_id_counts_once_among_the_last_few(action: Action, between: int) -> None:
    feed = Feed()
    first = ViewerEvent(viewer="v", room="a", streamer="s", action=action, at_ms=START_MS, seconds=1, id="e-1")
    assert feed.aggregate.apply(first, START_MS, feed.book) is not Outcome.DUPLICATE
    for number in range(between):
        other = msgspec.structs.replace(first, id=f"e-{number + 2}", at_ms=START_MS + number)
        assert feed.aggregate.apply(other, START_MS, feed.book) is not Outcome.DUPLICATE
    before = feed.profile
    feed.book.drain()
    again = ProfileAggregate(ViewerId("v"), ProfileConfig())
    again.restore(before)  # a restart forgets no id
    for aggregate in (feed.aggregate, again):
        assert aggregate.apply(first, START_MS + 9_000, feed.book) is Outcome.DUPLICATE
        assert aggregate.profile() == before
    assert feed.book.drain() == []


def test_the_least_recent_habit_is_forgotten_first() -> None:
    feed = Feed(ProfileConfig(visits=2, habits=2))
    for at_s, room in enumerate("abac"):
        feed.do("enter", room, at_s)
    assert {habit.streamer for habit in feed.profile.habits} == {"of a", "of c"}
    assert [visit.room for visit in feed.profile.visits] == ["a", "c"]


def test_buckets_are_ten_seconds_of_event_time() -> None:
    feed = Feed()
    feed.do("enter", "a", 9)
    feed.do("like", "a", 9.999)
    feed.do("like", "a", 10)
    assert [(one.bucket_ms - START_MS, one.entered, one.likes) for one in feed.book.drain()] == [
        (0, 1, 1),
        (10_000, 0, 1),
    ]


def test_a_habit_remembers_when_its_visits_began_and_what_was_said() -> None:
    feed = Feed()
    for action, room, at_s in (("enter", "a", 10), ("chat", "a", 20), ("enter", "b", 30), ("chat", "a", 50)):
        feed.do(action, room, at_s)  # type: ignore[arg-type]
    a, b = feed.profile.habits
    assert (a.visits, a.chats, a.first_entered_at_ms, a.entered_at_ms) == (2, 2, START_MS + 10_000, START_MS + 50_000)
    assert (b.visits, b.chats, b.first_entered_at_ms, b.entered_at_ms) == (1, 0, START_MS + 30_000, START_MS + 30_000)
    assert (feed.profile.total_visits, feed.profile.repeats) == (3, 1)
    assert sum(one.first_entered for one in feed.book.drain() if one.room == "a") == 1


def test_an_arrival_says_whom_the_viewer_was_with_last_however_long_before() -> None:
    feed = Feed()
    for room, at_s in (("a", 0), ("b", 60), ("b", 2_000), ("c", 3_860), ("a", 3_861), ("d", 3_000)):
        feed.do("enter", room, at_s)
    arrived = {(one.room, each.at_ms - START_MS, each.streamer) for one in feed.book.drain() for each in one.arrivals}
    assert arrived == {("b", 60_000, "of a"), ("c", 3_860_000, "of b"), ("a", 3_861_000, "of c")}


def test_a_profile_of_an_earlier_build_is_read_and_folds_on() -> None:
    feed = Feed()
    for action, at_s in (("enter", 0), ("chat", 5)):
        feed.do(action, "a", at_s)  # type: ignore[arg-type]
    fields = msgspec.msgpack.decode(feed.aggregate.packed())
    fields[3] = [habit[:5] for habit in fields[3]]
    aggregate = ProfileAggregate(ViewerId("v"), ProfileConfig())
    aggregate.restore(Decoder(VIEWER_PROFILES)(msgspec.msgpack.encode(fields[:11])))
    aggregate.apply(
        ViewerEvent(viewer="v", room="b", streamer="of b", action="enter", at_ms=START_MS + 9_000), 0, feed.book
    )
    old, new = aggregate.profile().habits
    assert (old.visits, old.chats, old.entered_at_ms) == (1, 0, 0)
    assert (new.visits, new.entered_at_ms) == (1, START_MS + 9_000)


def test_a_profile_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"profile\.visits is 0"):
        ProfileConfig(visits=0)


ACTIONS: tuple[Action, ...] = ("enter", "enter", "leave", "watch", "like", "gift", "follow", "chat")
events = st.lists(
    st.builds(
        ViewerEvent,
        viewer=st.just("v"),
        room=st.sampled_from("abcdef"),
        streamer=st.sampled_from("rst"),
        action=st.sampled_from(ACTIONS),
        at_ms=st.one_of(st.integers(0, 40), st.integers(0, 20_000_000), st.just(2_000_000_000_000)),
        seconds=st.sampled_from([0.0, 1.5, 86_400.0]),
    ),
    max_size=60,
)
SMALL = ProfileConfig(visits=3, habits=2, recent_events=4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(events=events, cuts=st.sets(st.integers(0, 60)))
def test_a_profile_that_was_read_back_folds_on_as_the_one_in_memory(events: list[ViewerEvent], cuts: set[int]) -> None:
    kept, kept_book = ProfileAggregate(ViewerId("v"), SMALL), ActivityBook()
    aggregate, sums = ProfileAggregate(ViewerId("v"), SMALL), list[RoomActivity]()
    book = ActivityBook()
    for number, event in enumerate(events):
        assert aggregate.apply(event, number, book) == kept.apply(event, number, kept_book)
        if number in cuts:
            stored = msgspec.msgpack.encode(aggregate.profile())
            aggregate = ProfileAggregate(ViewerId("v"), SMALL)
            aggregate.restore(msgspec.msgpack.decode(stored, type=ViewerProfile))
            sums += book.drain()
    sums += book.drain()
    kept_sums = kept_book.drain()
    assert aggregate.profile() == kept.profile()
    for room in "abcdef":
        assert totals(sums, room) == totals(kept_sums, room)
        assert newest(sums, room) == newest(kept_sums, room)
    assert sum(one.first_entered for one in sums) == sum(one.first_entered for one in kept_sums)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(events=events)
def test_whatever_order_events_come_in_a_viewer_is_in_one_room_and_leaves_what_they_entered(
    events: list[ViewerEvent],
) -> None:
    aggregate, book = ProfileAggregate(ViewerId("v"), SMALL), ActivityBook()
    for number, event in enumerate(events):
        aggregate.apply(event, number, book)
    profile, activity = aggregate.profile(), book.drain()
    for room in "abcdef":
        sums = totals(activity, room)
        present = sums.get("entered", 0) - sums.get("left", 0)
        assert present == (profile.room == RoomId(room))
    assert sum(one.newcomers for one in activity) == min(1, profile.total_visits)
    assert sum(one.entered for one in activity) == profile.total_visits
    assert len(profile.visits) <= 3
    assert len(profile.habits) <= 2
    assert len(profile.recent_events) <= 4
    entered = [visit.entered_at_ms for visit in profile.visits]
    assert entered == sorted(entered)
