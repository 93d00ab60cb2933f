"""Tests of how messages are counted by ten seconds: whatever order they come in, the last ten minutes end the same."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.room.recent import RECENT_BUCKETS, RecentMessages

tallies = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=40)


def counted(tallied: list[tuple[int, int]]) -> RecentMessages:
    recent = RecentMessages()
    for index, messages in tallied:
        recent.add({index: messages}, {index: min(messages, 1)})
    return recent


@settings(max_examples=200, deadline=None, derandomize=True)
@given(tallied=tallies, random=st.randoms(use_true_random=False))
def test_the_order_of_messages_changes_nothing_and_every_one_within_ten_minutes_counts(
    tallied: list[tuple[int, int]], random: object
) -> None:
    recent = counted(tallied)
    shuffled = sorted(tallied, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert (counted(shuffled).counts(), counted(shuffled).newest_ms) == (recent.counts(), recent.newest_ms)
    assert counted(shuffled).heard() == recent.heard()
    assert [bool(heard) for heard in recent.heard()] == [bool(messages) for messages in recent.counts()]
    expected = Counter[int]()
    for index, messages in tallied:
        expected[index // 2] += messages
    newest = max((bucket for bucket, messages in expected.items() if messages), default=0)
    assert recent.newest_ms == newest * 10_000
    counts = recent.counts()
    for age in range(RECENT_BUCKETS):
        assert (counts[-1 - age] if age < len(counts) else 0) == expected[newest - age]
    assert len(counts) <= RECENT_BUCKETS
    assert not counts or counts[0] > 0
