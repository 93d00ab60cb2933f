"""The contract of groups and their members: the same tests on the in-memory log and on a real Kafka."""

from __future__ import annotations

import pytest

from streaming.errors import Fenced, LogUnavailable
from streaming.log.log import Batch, Partition
from tests.contract.opened_log import ONE, A, B, Opened, Owned, assigned, read, settle, values


def test_a_group_starts_at_the_beginning_and_resumes_where_it_committed(opened: Opened) -> None:
    opened.write("one", b"1", b"2", b"3")
    first = opened.group("one")
    read(first, 3)
    first.commit({ONE: 1})
    first.close()
    assert values(read(opened.group("one"), 2)) == [b"2", b"3"]


def test_what_was_read_but_not_committed_is_read_again(opened: Opened) -> None:
    opened.write("one", b"1")
    first = opened.group("one")
    read(first, 1)
    first.close()
    assert values(read(opened.group("one"), 1)) == [b"1"]


def test_groups_do_not_share_positions(opened: Opened) -> None:
    opened.write("one", b"1")
    first = opened.group("one", group="g")
    read(first, 1)
    first.commit({ONE: 1})
    assert values(read(opened.group("one", group="other"), 1)) == [b"1"]


def test_members_own_matching_partitions_of_all_their_topics(opened: Opened) -> None:
    members = {member: opened.group("a", "b", member=member) for member in ("0", "1")}
    held: dict[str, set[Partition]] = {"0": set(), "1": set()}

    def settled() -> bool:
        for member, partitions in held.items():
            try:
                batch = members[member].poll(0.1)
            except LogUnavailable:  # it has lost its group: opened anew, as a loop does
                members[member] = opened.group("a", "b", member=member)
                partitions.clear()
                continue
            partitions -= set(batch.revoked)
            partitions |= set(batch.assigned)
        return held == {"0": {*A[:2], *B[:2]}, "1": {*A[2:], *B[2:]}}

    settle(until=settled)


def test_a_member_that_joins_takes_only_its_share_and_the_rest_reads_on(opened: Opened) -> None:
    for index in range(4):
        opened.write("a", b"%d" % index, partition=index)
    first = opened.group("a", member="0")
    read(first, 4)  # and commits nothing: what it keeps must not start again
    second = opened.group("a", member="1")
    batches: list[Batch] = []

    def given() -> bool:
        batches.append(first.poll(0.1))
        second.poll(0.1)
        return any(batch.revoked for batch in batches)

    settle(until=given)
    assert {partition for batch in batches for partition in batch.revoked} == set(A[2:])
    assert not any(batch.assigned or len(batch) for batch in batches)
    opened.write("a", b"next", partition=0)
    assert values(read(first, 1)) == [b"next"]


def test_a_member_that_comes_back_gets_the_same_partitions_and_nobody_else_notices(opened: Opened) -> None:
    first, second = opened.group("a", member="0"), opened.group("a", member="1")
    owned: set[Partition] = set()

    def settled() -> bool:
        first.poll(0.1)
        batch = second.poll(0.1)
        owned.difference_update(batch.revoked)
        owned.update(batch.assigned)
        return owned == set(A[2:])

    settle(until=settled)
    first.close()
    again = opened.group("a", member="0")
    given: list[Partition] = []

    def back() -> bool:
        batch = second.poll(0.1)
        assert not batch.assigned
        assert not batch.revoked
        given.extend(again.poll(0.1).assigned)
        return bool(given)

    settle(until=back)
    assert given == A[:2]


def test_partitions_of_a_member_that_stays_away_go_to_the_others(opened: Opened) -> None:
    first, second = opened.group("a", member="0"), opened.group("a", member="1")
    owns = Owned(second)
    settle(first, until=lambda: owns.exactly(A[2:]))
    first.close()
    opened.expire("g", "0")
    settle(until=lambda: owns.exactly(A))


def test_a_second_process_of_the_same_member_fences_the_first(opened: Opened) -> None:
    first = opened.group("a", member="0")
    assigned(first)
    second = opened.group("a", member="0")
    assigned(second)

    def fenced() -> bool:
        second.poll(0.05)
        try:
            first.poll(0.05)
        except Fenced:
            return True
        return False

    settle(until=fenced)
    with pytest.raises(Fenced):
        first.commit({A[0]: 1})


def test_a_member_that_leaves_gives_its_partitions_to_the_others_at_once(opened: Opened) -> None:
    first, second = opened.group("a", member="0"), opened.group("a", member="1")
    owns = Owned(second)
    settle(first, until=lambda: owns.exactly(A[2:]))
    assert opened.log.member("g", "0") is not None
    first.leave()
    assert opened.log.member("g", "0") is None
    first.close()
    settle(until=lambda: owns.exactly(A))


def test_who_is_a_member_now_is_known_to_all(opened: Opened) -> None:
    assert opened.log.member("never", "0") is None
    first = opened.group("a", member="0")
    assert assigned(first) == A
    found = opened.log.member("g", "0")
    assert found is not None
    assert (found.id, found.partitions, bool(found.host)) == (first.member_id(), tuple(A), True)
    assert opened.log.member("g", "1") is None
    second = opened.group("a", member="0")
    assigned(second)
    replaced = opened.log.member("g", "0")
    assert replaced is not None
    assert replaced.id == second.member_id() != first.member_id()
    first.leave()  # no effect: its place is another process's now
    assert opened.log.member("g", "0") == replaced
