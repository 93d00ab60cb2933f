"""Tests of what viewers demand: the newest counts in any order, bounds hold, and nobody is moved by it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import msgspec
import pytest

from streaming.errors import MalformedRecord
from streaming.events import Action, Outcome, ViewerEvent, ViewerId, ViewerProfile, ViewerRule
from streaming.log.codec import Decoder, encode
from streaming.log.topics import VIEWER_EVENTS, VIEWER_PROFILES
from streaming.room.activity import ActivityBook
from streaming.viewer.profile import ProfileAggregate
from streaming.viewer.profile_config import ProfileConfig
from streaming.viewer.rules import NO_RULES, RULE_ACTIONS, in_force

START_MS = 1_700_000_000_000


def event(action: Action, name: str, at_s: float = 0, room: str = "") -> ViewerEvent:
    at_ms = START_MS + int(1_000 * at_s)
    return ViewerEvent(viewer="v", room=room or f"room of {name}", streamer=name, action=action, at_ms=at_ms)


def aggregate(*events: ViewerEvent, config: ProfileConfig | None = None) -> ProfileAggregate:
    made = ProfileAggregate(ViewerId("v"), config or ProfileConfig())
    for one in events:
        made.apply(one, START_MS + 3_600_000, ActivityBook())
    return made


def subjects(rules: Iterable[ViewerRule], kind: str) -> set[str]:
    return {rule.subject for rule in rules if rule.kind == kind and rule.in_force}


@pytest.mark.parametrize(
    ("done", "undone", "kind"),
    [
        ("hide_room", "unhide_room", "hide"),
        ("block_streamer", "unblock_streamer", "block"),
        ("not_interested", "undo_not_interested", "lower"),
    ],
)
def test_the_newest_event_counts_in_whatever_order_they_come(done: Action, undone: Action, kind: str) -> None:
    events = [event(done, "s", 1), event(undone, "s", 2), event(done, "s", 0.5), event(undone, "s", 0)]
    for order in itertools.permutations(events):
        assert not subjects(aggregate(*order).profile().rules, kind)
    for order in itertools.permutations([*events, event(done, "s", 3)]):
        assert subjects(aggregate(*order).profile().rules, kind) == {"room of s" if kind == "hide" else "s"}


def test_a_demand_and_its_undoing_of_one_millisecond_leave_the_demand() -> None:
    for order in itertools.permutations([event("block_streamer", "s"), event("unblock_streamer", "s")]):
        assert subjects(aggregate(*order).profile().rules, "block") == {"s"}


def test_outcomes_say_what_an_event_did() -> None:
    made, book = aggregate(event("block_streamer", "s", 5)), ActivityBook()
    assert made.apply(event("block_streamer", "s", 5), START_MS + 10_000, book) is Outcome.DUPLICATE
    assert made.apply(event("unblock_streamer", "s", 4), START_MS + 10_000, book) is Outcome.STALE
    assert made.apply(event("unblock_streamer", "s", 6), START_MS + 10_000, book) is Outcome.APPLIED


def test_a_fast_clock_does_not_outlast_a_right_one() -> None:
    made = ProfileAggregate(ViewerId("v"), ProfileConfig())
    made.apply(event("block_streamer", "s", 50), START_MS, ActivityBook())  # arrived 50 s before it happened
    made.apply(event("unblock_streamer", "s", 10), START_MS + 10_000, ActivityBook())
    assert not subjects(made.profile().rules, "block")


@pytest.mark.parametrize("action", sorted(RULE_ACTIONS))
def test_a_demand_is_no_sign_of_presence(action: Action) -> None:
    made, book = aggregate(event("enter", "s")), ActivityBook()
    before = made.profile()
    assert made.apply(event(action, "t", 60), START_MS + 60_000, book) is Outcome.APPLIED
    after = made.profile()
    assert not book.drain()
    assert after.rules
    assert msgspec.structs.replace(after, rules=(), appended_ms=before.appended_ms) == before
    assert made.present_until_ms == aggregate(event("enter", "s")).present_until_ms
    made.apply(event(action, "s", 86_400), START_MS + 90_000_000, book)  # long after the silence: it ends no visit
    assert made.room == "room of s"
    assert not book.drain()


def test_what_was_taken_back_is_forgotten_first_and_then_the_oldest() -> None:
    config = ProfileConfig(blocked_streamers=2, hidden_rooms=1)
    blocks = [event("block_streamer", "old", 1), event("block_streamer", "new", 3)]
    undone = event("unblock_streamer", "undone", 9)
    made = aggregate(*blocks, undone, event("hide_room", "s", 1), event("hide_room", "t", 2), config=config)
    assert subjects(made.profile().rules, "block") == {"old", "new"}
    assert len(made.profile().rules) == 3
    assert subjects(made.profile().rules, "hide") == {"room of t"}
    made.apply(event("block_streamer", "newest", 10), START_MS + 10_000, ActivityBook())
    assert subjects(made.profile().rules, "block") == {"new", "newest"}


def test_a_restored_profile_goes_on_and_is_the_same_in_bytes() -> None:
    events = [event("block_streamer", "s", 1), event("hide_room", "t", 2), event("not_interested", "u", 3)]
    more = [event("unblock_streamer", "s", 4), event("hide_room", "w", 5)]
    restored = ProfileAggregate(ViewerId("v"), ProfileConfig())
    restored.restore(Decoder(VIEWER_PROFILES)(aggregate(*events).packed()))
    for one in more:
        restored.apply(one, START_MS + 3_600_000, ActivityBook())
    assert restored.packed() == aggregate(*events, *more).packed() == encode(restored.profile())


def test_a_build_before_reads_a_profile_with_rules_and_a_build_after_one_without() -> None:
    full = aggregate(event("enter", "s"), event("hide_room", "t", 1)).packed()
    fields = msgspec.msgpack.decode(full)
    older = msgspec.msgpack.encode(fields[:12])  # up to `repeats`
    assert Decoder(VIEWER_PROFILES)(older).rules == ()

    class Before(msgspec.Struct, array_like=True):
        v: int
        viewer: str

    assert msgspec.msgpack.decode(full, type=Before).viewer == "v"


def test_a_kind_that_this_build_does_not_know_is_kept_and_not_in_force() -> None:
    made = ProfileAggregate(ViewerId("v"), ProfileConfig())
    profile = aggregate(event("hide_room", "t", 1)).profile()
    later = ViewerRule("mute", "x", START_MS, True)
    made.restore(msgspec.structs.replace(profile, rules=(*profile.rules, later)))
    assert later in made.profile().rules
    assert in_force([later]) == NO_RULES


def test_capitals_are_mended_and_an_unknown_action_is_refused() -> None:
    decode = Decoder(VIEWER_EVENTS)
    value = encode(event("block_streamer", "s"))
    assert decode.read(value.replace(b"block_streamer", b"BLOCK_STREAMER")).mended == ("letter_case",)
    with pytest.raises(MalformedRecord):
        decode(value.replace(b"block_streamer", b"block"))


def test_a_profile_of_rules_alone_has_no_event() -> None:
    profile: ViewerProfile = aggregate(event("block_streamer", "s")).profile()
    assert (profile.total_events, profile.first_at_ms, profile.last_at_ms, profile.visits) == (0, 0, 0, ())


def test_a_recording_that_counts_its_times_from_0_is_not_taken_for_erased() -> None:
    made = ProfileAggregate(ViewerId("v"), ProfileConfig())
    for at_ms in (0, 5):
        one = ViewerEvent(viewer="v", room=f"r{at_ms}", streamer="s", action="enter", at_ms=at_ms)
        assert made.apply(one, at_ms, ActivityBook()) is Outcome.APPLIED
