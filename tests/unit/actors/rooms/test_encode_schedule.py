"""The schedule's promises: the order, the rests, and that no room starves at any capacity."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.rooms.encode_schedule import EncodeSchedule, NextText
from actors.settings import ScheduleConfig
from streaming.errors import ConfigError

FAST = 10_000.0


def schedule(**changes: int) -> EncodeSchedule[str]:
    return EncodeSchedule(ScheduleConfig(**changes))  # type: ignore[arg-type]


def order(chosen_texts: list[NextText[str]]) -> list[tuple[str, str]]:
    return [(chosen.room, chosen.purpose) for chosen in chosen_texts]


def test_title_then_urgent_then_segment_then_fresh() -> None:
    wants = schedule()
    wants.want_now("urgent", 75_000, 1, 0)
    wants.want_segment("segment", 90_000)
    wants.want_now("fresh", 99_000, 1, 0)
    wants.want_title("title", 99_999)
    assert order(wants.choose(9, 100_000, FAST)) == [
        ("title", "title"),
        ("urgent", "now"),
        ("segment", "segment"),
        ("fresh", "now"),
    ]


def test_a_room_that_has_ended_waits_for_all_others_and_is_not_stale() -> None:
    wants = schedule()
    wants.want_now("ended", 1_000, 1, 0)
    wants.want_now("live", 99_000, 1, 0)
    wants.want_last("ended", 99_999)
    assert wants.stale(100_000) == 0
    assert order(wants.choose(1, 100_000, FAST)) == [("live", "now")]
    (last,) = wants.choose(9, 100_000, FAST)
    assert last == ("ended", "now", 1_000, True)
    wants.completed("ended")
    wants.want_last("ended", 100_000)
    wants.want_now("ended", 100_000, 1, 0)  # it was presumed ended and is not
    assert wants.waiting() == 1


def test_busier_and_larger_rooms_are_due_sooner() -> None:
    wants = schedule()
    wants.want_now("quiet", 100, 1, 0)
    wants.want_now("large", 200, 1, 5_000)
    wants.want_now("busy", 300, 60, 5_000)
    assert [chosen.room for chosen in wants.choose(3, 1_000, FAST)] == ["busy", "large", "quiet"]


def test_room_becomes_due_sooner_as_messages_arrive() -> None:
    wants = schedule()
    wants.want_now("a", 100, 1, 0)
    wants.want_now("b", 200, 1, 0)
    wants.want_now("b", 300, 100, 0)
    assert [chosen.room for chosen in wants.choose(1, 1_000, FAST)] == ["b"]


def test_room_in_flight_is_not_picked_again_until_it_landed() -> None:
    wants = schedule(rest_ms=0)
    wants.want_now("a", 100, 1, 0)
    assert order(wants.choose(1, 100, FAST)) == [("a", "now")]
    wants.want_now("a", 150, 1, 0)
    assert wants.choose(1, 60_000, FAST) == []
    wants.completed("a")
    assert wants.choose(1, 60_000, FAST) == [NextText("a", "now", 150)]


def test_room_rests_between_two_encodes() -> None:
    wants = schedule(rest_ms=500)
    wants.want_now("a", 100, 1, 0)
    wants.choose(1, 100, FAST)
    wants.completed("a")
    wants.want_now("a", 110, 1, 0)
    assert wants.choose(1, 599, FAST) == []
    assert wants.next_wake_ms() == 600
    assert order(wants.choose(1, 600, FAST)) == [("a", "now")]


def test_rest_grows_with_active_rooms_over_capacity() -> None:
    wants = schedule(rest_ms=0)
    for room in range(100):
        wants.want_now(str(room), 0, 1, 0)
    wants.choose(1, 0, texts_per_s=100)
    assert (wants.next_wake_ms() or 0) > 1_000


def test_forgotten_room_is_not_picked() -> None:
    wants = schedule()
    wants.want_now("a", 0, 1, 0)
    wants.want_title("a", 0)
    wants.want_segment("a", 0)
    wants.forget("a")
    assert wants.choose(9, 50_000, FAST) == []
    assert wants.waiting() == 0


def test_stale_rooms_are_counted_also_while_at_the_encoder() -> None:
    wants = schedule()
    wants.want_now("flying", 0, 1, 0)
    wants.choose(1, 0, FAST)
    wants.want_now("waiting", 0, 1, 0)
    wants.want_now("fresh", 29_000, 1, 0)
    assert (wants.stale(30_000), wants.stale(30_001)) == (0, 2)


def test_flood_of_titles_leaves_room_for_chat() -> None:
    wants = schedule()
    for room in range(100):
        wants.want_title(f"t{room}", 0)
    wants.want_now("chat", 0, 1, 0)
    assert ("chat", "now") in order(wants.choose(4, 30_000, FAST))


def test_segments_get_their_turn_under_lasting_overload() -> None:
    wants = schedule()
    wants.want_segment("s", 0)
    for room in range(100):
        wants.want_now(str(room), 0, 1, 0)
    assert ("s", "segment") in order(wants.choose(8, 60_000, FAST))


@settings(max_examples=40, deadline=None)
@given(
    rooms=st.lists(st.tuples(st.integers(1, 500), st.integers(0, 100_000)), min_size=1, max_size=40),
    per_turn=st.integers(1, 5),
)
def test_no_room_starves_at_any_capacity(rooms: list[tuple[int, int]], per_turn: int) -> None:
    """All rooms always have new chat, a title and a segment; each gets its turn within two rounds of the lot."""
    wants = schedule(rest_ms=0)
    turn_ms = 1_000
    seen: dict[tuple[str, str], int] = {}
    turns = 24 * len(rooms) // per_turn + 120
    for turn in range(turns):
        now_ms = turn * turn_ms
        for room, (messages, audience) in enumerate(rooms):
            wants.want_now(str(room), now_ms, messages, audience)
            wants.want_segment(str(room), now_ms)
            if turn % 3 == 0:
                wants.want_title(str(room), now_ms)
        for chosen in wants.choose(per_turn, now_ms, per_turn * 1000 / turn_ms):
            seen[(chosen.room, chosen.purpose)] = now_ms
            if chosen.purpose == "now":
                wants.completed(chosen.room)
    assert {room for room, purpose in seen if purpose == "now"} == {str(room) for room in range(len(rooms))}
    assert {room for room, purpose in seen if purpose == "segment"} == {str(room) for room in range(len(rooms))}


@pytest.mark.parametrize("wrong", [{"urgent_ms": 0}, {"urgent_ms": 40_000}, {"rest_ms": -1}, {"load": 0}])
def test_wrong_config_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        ScheduleConfig(**wrong)  # type: ignore[arg-type]


def test_where_all_rooms_are_behind_what_is_said_now_comes_before_segments_and_after_each_title() -> None:
    wants: EncodeSchedule[str] = EncodeSchedule(ScheduleConfig(), now_first=True)
    for number in range(20):
        wants.want_title(f"t{number}", 50_000)
        wants.want_segment(f"s{number}", 50_000)
        wants.want_now(f"n{number}", 99_000, 1, 0)
    purposes = [chosen.purpose for chosen in wants.choose(30, 100_000, FAST)]
    assert purposes[:6] == ["title", "now"] * 3
    assert purposes.count("segment") in (1, 2), "in their turn, and no more"
    rest = [chosen.purpose for chosen in wants.choose(60, 100_000, FAST)]
    assert len(rest) == 30, "and nothing is left"


def test_of_the_texts_that_can_wait_no_more_are_chosen_than_asked_and_what_is_said_now_passes_them() -> None:
    wants = schedule()
    for room in "abc":
        wants.want_title(room, 0)
    wants.want_segment("d", 0)
    wants.want_last("e", 0)
    for room in "fg":
        wants.want_now(room, 0, 1, 1)
    assert order(wants.choose(9, 0, FAST, 2)) == [("a", "title"), ("b", "title"), ("f", "now"), ("g", "now")]
    assert wants.choose(9, 0, FAST, 0) == []
    assert order(wants.choose(9, 0, FAST)) == [("c", "title"), ("d", "segment"), ("e", "now")]


def test_what_is_said_now_counts_for_nothing_of_what_can_wait() -> None:
    wants: EncodeSchedule[str] = EncodeSchedule(ScheduleConfig(), now_first=True)
    for room in "ab":
        wants.want_title(room, 0)
    for room in "fg":
        wants.want_now(room, 0, 1, 1)
    by_turns = [("a", "title"), ("f", "now"), ("b", "title"), ("g", "now")]
    assert order(wants.choose(9, 0, FAST, 2)) == by_turns
