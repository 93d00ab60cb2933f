"""Tests of what a reader learns of its group's assignments, and as whom it may commit."""

from __future__ import annotations

import threading

import pytest

from streaming.broker import assignments
from streaming.broker.assignments import Assignments


class Group:
    """A membership that changes with each rebalance, as kafka-python's thread reports it."""

    def __init__(self) -> None:
        self.generation = 0
        self.assignments = Assignments(lambda: self.generation)

    def member(self) -> object:
        """As whom what was computed for the partitions taken last is committed now."""
        taken_as = self.assignments.taken_as()
        if taken_as is None:
            return None
        with taken_as as member:
            return member

    def give(self, *partitions: str) -> None:
        self.generation += 1
        self.assignments.on_partitions_revoked(set())
        self.assignments.on_partitions_assigned(set(partitions))


def test_a_rebalance_that_gives_everything_back_is_no_change_and_commits_go_on_as_its_member() -> None:
    group = Group()
    group.give("a", "b")
    assert group.assignments.take() == ({"a", "b"}, frozenset())
    group.give("a", "b", "c")
    assert group.member() == 2
    assert group.assignments.take() == ({"a", "b", "c"}, frozenset())
    assert group.assignments.take() is None


@pytest.mark.parametrize("later", [(), ("b",), ("a", "b")], ids=["gone", "one is gone", "it came back"])
def test_what_was_computed_before_a_partition_was_lost_is_committed_as_a_member_of_then(later: tuple[str, ...]) -> None:
    group = Group()
    group.give("a", "b")
    group.assignments.take()
    group.give("b")  # between two polls
    if later != ("b",):
        group.give(*later)
    assert group.member() == 1, "the broker refuses it"
    held, lost = group.assignments.take() or (None, None)
    assert (held, "a" in (lost or ())) == (set(later), True), "what came back was another's meanwhile"
    assert group.member() == group.generation


def test_partitions_lost_with_the_membership_are_a_change_even_where_they_come_back() -> None:
    group = Group()
    group.give("a")
    group.assignments.take()
    group.assignments.on_partitions_lost({"a"})
    assert group.member() == 1
    group.give("a")
    assert group.member() == 1
    assert group.assignments.take() == ({"a"}, {"a"})


def test_nobody_commits_before_the_first_assignment() -> None:
    group = Group()
    assert group.member() is None
    group.give("a")
    assert group.member() is None, "nothing was computed for it yet"


def test_a_commit_that_began_before_a_loss_was_taken_is_refused_although_it_ends_after() -> None:
    group = Group()
    group.give("a", "b")
    group.assignments.take()
    begun = group.assignments.taken_as()
    group.give("b")
    group.assignments.take()  # the reader goes on while the commit ends
    assert begun is not None
    with begun as member:
        assert member == 1
    assert group.member() == 2


def test_a_rebalance_and_a_commit_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignments, "COMMIT_S", 60.0)
    monkeypatch.setattr(assignments, "JOIN_S", 60.0)
    group = Group()
    group.give("a")
    group.assignments.take()
    first = group.assignments.taken_as()
    assert first is not None
    joining = threading.Thread(target=group.assignments.on_partitions_revoked, args=({"a"},))
    with first as member:
        joining.start()
        joining.join(0.05)
        assert joining.is_alive(), "it waits for the commit"
        assert member == 1
    joining.join()
    committed: list[object] = []
    committing = threading.Thread(target=lambda: committed.append(group.member()))
    committing.start()
    committing.join(0.05)
    assert committing.is_alive(), "it waits for the rebalance"
    group.generation += 1
    group.assignments.on_partitions_assigned({"a"})
    committing.join()
    assert committed == [2]
