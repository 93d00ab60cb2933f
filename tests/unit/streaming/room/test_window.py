"""Tests of what a chat window promises: lateness, closing, duplicates, bounds. Never restarts one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.errors import ConfigError
from streaming.events import Outcome
from streaming.room.slice import SLICE_MS
from streaming.room.window import HELD_SLICES, SEGMENT_MS, ChatWindow
from streaming.room.window_config import WindowConfig

START_MS = SEGMENT_MS * 56_666_667  # a segment begins here
SEGMENT = START_MS // SEGMENT_MS


class Feed:
    """Feeds a window messages appended when they were said, unless told otherwise."""

    def __init__(self, config: WindowConfig | None = None) -> None:
        self.window = ChatWindow(config or WindowConfig())
        self.offset = 0

    def say(self, text: str, at_s: float, appended_s: float | None = None, viewer: str = "v") -> Outcome:
        self.offset += 1
        appended_ms = START_MS + int((at_s if appended_s is None else appended_s) * 1_000)
        return self.window.add(viewer, text, START_MS + int(at_s * 1_000), self.offset, appended_ms)

    def closed(self) -> list[tuple[int, str]]:
        return [(segment.index - SEGMENT, segment.text) for segment in self.window.closed]


def test_a_segment_closes_when_the_watermark_is_past_its_end_and_the_lateness() -> None:
    feed = Feed()
    feed.say("in the first", 29.9)
    feed.say("in the second", 34.9)
    assert feed.closed() == []
    feed.say("closes it", 35.0)
    assert feed.closed() == [(0, "in the first")]


def test_a_late_message_joins_its_segment_while_that_is_open_and_not_after() -> None:
    feed = Feed()
    feed.say("on time", 10)
    feed.say("next segment", 34)
    assert feed.say("late one", 11) is Outcome.APPLIED
    feed.say("closes it", 36)
    assert feed.say("too late", 12) is Outcome.APPLIED, "still in the window's slices, so still counted there"
    feed.say("closes the second", 66)
    assert feed.closed() == [(0, "late one\non time"), (1, "closes it\nnext segment")]


def test_a_message_older_than_every_slice_is_late_and_in_no_text() -> None:
    feed = Feed()
    feed.say("now here", 100)
    assert feed.say("long ago", 40.0 - 1e-3) is Outcome.LATE
    assert feed.say("just held", 45) is Outcome.APPLIED
    assert feed.window.text() == "now here"
    assert feed.window.statistics().previous == 1


def test_an_idle_segment_closes_by_the_append_time_of_other_rooms() -> None:
    feed = Feed()
    feed.say("last words", 10)
    feed.window.expire(START_MS + 70_000)
    assert feed.closed() == []
    feed.window.expire(START_MS + 70_001)
    assert feed.closed() == [(0, "last words")]
    feed.say("back after all", 11, appended_s=71)
    feed.window.expire(START_MS + 500_000)
    assert feed.closed() == [(0, "last words")], "a closed segment never opens again"


def test_slices_are_forgotten_when_nothing_was_appended_to_them_for_long() -> None:
    feed = Feed()
    feed.say("old news", 10)
    feed.say("says so", 10.5, appended_s=100.5)
    assert feed.window.text() == "says so"
    assert feed.window.statistics().messages == 1


def test_a_duplicate_changes_nothing() -> None:
    feed = Feed()
    feed.say("same", 1)
    before = (feed.window.text(), feed.window.statistics())
    assert feed.say("same", 1, appended_s=2) is Outcome.DUPLICATE
    assert (feed.window.text(), feed.window.statistics()) == before
    assert feed.say("same", 1, viewer="another") is Outcome.APPLIED
    assert feed.say("same", 1.5) is Outcome.APPLIED
    assert feed.say("other", 1) is Outcome.APPLIED


def test_statistics_are_of_the_last_30_s_and_of_those_before() -> None:
    feed = Feed()
    for second in range(60):
        feed.say("tick", second, viewer=f"v{second % 7}")
    statistics = feed.window.statistics()
    assert (statistics.messages, statistics.previous, statistics.chatters) == (30, 30, 7)


def test_chatters_are_estimated_within_a_fifth_where_they_are_too_many_to_remember() -> None:
    feed = Feed()
    for i in range(60_000):
        feed.say("hi", i * 30 / 60_000, viewer=f"viewer-{i % 20_000}")
    assert feed.window.statistics().chatters == pytest.approx(20_000, rel=0.2)


def test_a_clock_that_is_ahead_does_not_make_the_rest_of_the_chat_late() -> None:
    feed = Feed()
    feed.say("said before", 1)
    feed.say("from the future", 60, appended_s=2)
    assert feed.say("said after", 3) is Outcome.APPLIED
    assert feed.window.text() == "said after\nfrom the future\nsaid before"


def test_times_far_apart_and_backwards_do_no_harm() -> None:
    feed = Feed()
    assert feed.window.add("v", "the epoch itself", 0, 0, START_MS) is Outcome.APPLIED
    feed.say("now then", 0)
    assert feed.window.add("v", "past again", 5, 2, START_MS) is Outcome.LATE
    assert [segment.text for segment in feed.window.closed] == ["the epoch itself"]
    assert feed.window.text() == "now then"


@pytest.mark.parametrize("lateness_s", [-5, 3, 30])
def test_a_lateness_that_slices_cannot_hold_is_refused(lateness_s: int) -> None:
    with pytest.raises(ConfigError, match="lateness_s"):
        WindowConfig(lateness_s=lateness_s)


def deep_size(value: object, seen: set[int]) -> int:
    """Bytes of an object and all that it holds."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(deep_size(key, seen) + deep_size(item, seen) for key, item in value.items())
    if isinstance(value, (list, tuple, set)):
        return size + sum(deep_size(item, seen) for item in value)
    slots = getattr(type(value), "__slots__", ())
    return size + sum(deep_size(getattr(value, slot), seen) for slot in slots)


def test_memory_is_bounded_whatever_arrives() -> None:
    feed, sizes = Feed(), []
    padding = "🌊" * 1_000
    for i in range(100_000):
        feed.say(f"{i} is said {padding}", i / 1_000, viewer=f"viewer-{i}")
        if i in (70_000, 99_999):
            feed.window.closed.clear()
            sizes.append(deep_size(feed.window, set()))
    assert max(sizes) < 8_000_000
    assert sizes[1] < 1.2 * sizes[0]


Arrival = tuple[int, int, int, int]  # (append gap ms, event time back ms, viewer, text)
arrivals = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 900, 4_000, 20_000, 62_000, 95_000]),
        st.sampled_from([0, 0, 0, 2_000, 8_000, 40_000, 100_000, -30_000]),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=60,
)


def trace(messages: Sequence[Arrival], sweeps: Random | None) -> list[object]:
    """Everything that a window says, at every message."""
    window, appended_ms = ChatWindow(WindowConfig(texts_per_slice=2, viewers_per_slice=2)), START_MS
    said: list[object] = []
    for offset, (gap_ms, back_ms, viewer, text) in enumerate(messages):
        if sweeps is not None:
            for _ in range(sweeps.randrange(3)):
                window.expire(appended_ms + sweeps.randrange(gap_ms + 1), forget=sweeps.random() < 0.5)
        appended_ms += gap_ms
        outcome = window.add(f"v{viewer}", f"text {text}", appended_ms - back_ms, offset, appended_ms)
        said.append((outcome, window.text(), window.statistics(), list(window.closed)))
    return said


@settings(max_examples=120, deadline=None, derandomize=True)
@given(messages=arrivals, seed=st.integers(0, 1_000))
def test_where_batches_end_and_how_often_idle_segments_are_swept_changes_nothing(
    messages: list[Arrival], seed: int
) -> None:
    assert trace(messages, Random(seed)) == trace(messages, None)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(messages=arrivals)
def test_segments_close_once_in_order_and_slices_stay_few(messages: list[Arrival]) -> None:
    window, appended_ms = ChatWindow(WindowConfig()), START_MS
    for offset, (gap_ms, back_ms, viewer, text) in enumerate(messages):
        appended_ms += gap_ms
        window.add(f"v{viewer}", f"text {text}", appended_ms - back_ms, offset, appended_ms)
        assert len(window._slices) <= HELD_SLICES
    indices = [segment.index for segment in window.closed]
    assert indices == sorted(set(indices))
    window.expire(appended_ms + 100_000)
    assert not window._slices
    applied = {(appended, at) for appended, at in _times(messages)}
    assert {segment.index for segment in window.closed} <= {at // SEGMENT_MS for _, at in applied}


@settings(max_examples=80, deadline=None, derandomize=True)
@given(messages=arrivals, seed=st.integers(0, 1_000))
def test_within_one_slice_the_order_of_arrival_does_not_matter(messages: list[Arrival], seed: int) -> None:
    config = WindowConfig(texts_per_slice=3, viewers_per_slice=3)
    shuffled = Random(seed).sample(messages, len(messages))
    windows = (ChatWindow(config), ChatWindow(config))
    for window, order in zip(windows, (messages, shuffled), strict=True):
        for offset, (gap_ms, back_ms, viewer, text) in enumerate(order):
            at_ms = START_MS + (gap_ms + abs(back_ms)) % SLICE_MS
            window.add(f"v{viewer}{gap_ms}", f"text {text} {gap_ms} {back_ms}", at_ms, offset, START_MS)
    assert windows[0].text() == windows[1].text()
    assert windows[0].statistics() == windows[1].statistics()


def _times(messages: Sequence[Arrival]) -> list[tuple[int, int]]:
    times, appended_ms = [], START_MS
    for gap_ms, back_ms, _, _ in messages:
        appended_ms += gap_ms
        times.append((appended_ms, min(appended_ms, appended_ms - back_ms)))
    return times
