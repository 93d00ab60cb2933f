"""The contract of topics that change: notes beside positions, growth, a topic made anew. Both logs."""

from __future__ import annotations

import threading
import time

from streaming.broker.source import UNPOLLED_S
from streaming.errors import LogUnavailable
from streaming.log.log import Batch, Partition, Source
from tests.contract.opened_log import ONE, A, Opened, assigned, read, settle, values


def reshaped(source: Source) -> list[Batch]:
    """Polls until a change is said; every batch up to it."""
    found: list[Batch] = []

    def said() -> bool:
        found.append(source.poll(0.1))
        return bool(found[-1].reshaped)

    settle(until=said)
    return found


def remake_while_reading(opened: Opened, source: Source) -> None:
    """Makes the topic anew while a reader polls, as under a worker: there is always a fetch under way."""
    remaking = threading.Thread(target=opened.remake, args=("one",))
    remaking.start()
    while remaking.is_alive():
        assert not source.poll(0.05).records
    remaking.join()


def test_a_note_is_stored_with_the_position_and_read_by_the_next_member(opened: Opened) -> None:
    opened.write("one", b"1", b"2")
    first = opened.group("one")
    assigned(first)
    assert first.notes([ONE]) == {ONE: ""}
    first.note(ONE, "read=2")
    first.commit({ONE: 1})
    first.close()
    second = opened.group("one")
    assigned(second)
    assert second.notes([ONE]) == {ONE: "read=2"}
    second.commit({ONE: 2})  # a note stays until there is another
    second.close()
    third = opened.group("one")
    assigned(third)
    assert third.notes([ONE]) == {ONE: "read=2"}


def test_a_note_is_part_of_the_transaction(opened: Opened) -> None:
    opened.write("a", b"1", partition=0)
    source, sink = opened.group("a"), opened.log.sink("w")
    assigned(source)
    source.note(A[0], "told")
    sink.send("b", b"k", b"v")
    sink.commit(source, {A[0]: 1})
    sink.close()
    source.close()
    again = opened.group("a")
    assigned(again)
    assert again.notes([A[0]]) == {A[0]: "told"}


def test_a_group_is_given_everything_again_with_the_partitions_that_a_topic_has_got(opened: Opened) -> None:
    opened.write("one", b"1", b"2", b"3")
    source = opened.group("one")
    read(source, 3)
    opened.grow("one", 3)
    assert reshaped(source)[-1].reshaped == ("one",)
    unread = [b"3", b"new"]
    try:
        source.commit({ONE: 2})  # what is stored before the next poll counts
    except LogUnavailable:  # the group is being distributed anew already: what was stored before counts, here nothing
        unread = [b"1", b"2", b"3", b"new"]
    opened.write("one", b"new", partition=2)
    held: set[Partition] = set()
    revoked: set[Partition] = set()
    found: list[bytes | None] = []

    def settled() -> bool:
        batch = source.poll(0.1)
        held.difference_update(batch.revoked)
        revoked.update(batch.revoked)
        held.update(batch.assigned)
        for partition, records in batch.records.items():
            assert partition in held
            found.extend(record.value for record in records)
        return len(held) == 3 and set(unread) <= set(found)

    settle(until=settled)
    assert ONE in revoked
    assert sorted(found) == unread  # type: ignore[type-var]


def test_a_topic_that_is_only_watched_is_said_as_well(opened: Opened) -> None:
    source = opened.log.group(["one"], "g", "0", ["a"])
    opened._sources.append(source)
    assigned(source)
    opened.grow("a", 5)
    assert reshaped(source)[-1].reshaped == ("a",)


def test_a_topic_made_anew_while_its_reader_was_busy_for_long_is_read_from_its_beginning(opened: Opened) -> None:
    opened.write("one", b"old 1", b"old 2")
    source = opened.group("one")
    read(source, 2)
    began_s = time.monotonic()
    opened.remake("one")
    opened.write("one", b"1", b"2", b"3", b"4")
    time.sleep(max(0.0, began_s + UNPOLLED_S + 0.1 - time.monotonic()))
    assert [r.value for r in read(source, 4)] == [b"1", b"2", b"3", b"4"]


def test_a_topic_made_anew_is_read_from_its_beginning_although_more_lies_there_by_now(opened: Opened) -> None:
    opened.write("one", b"old 1", b"old 2")
    source = opened.group("one")
    read(source, 2)
    source.note(ONE, "read=2")
    source.commit({ONE: 2})
    remake_while_reading(opened, source)
    opened.write("one", b"1", b"2", b"3", b"4")
    assert [r.value for r in read(source, 4)] == [b"1", b"2", b"3", b"4"]
    assert source.notes([ONE]) == {ONE: ""}


def test_a_topic_made_anew_while_nobody_reads_is_read_from_its_beginning(opened: Opened) -> None:
    opened.write("one", b"old 1", b"old 2")
    source = opened.group("one")
    read(source, 2)
    source.commit({ONE: 2})
    source.close()
    opened.remake("one")
    opened.write("one", b"1", b"2", b"3")
    assert values(read(opened.group("one"), 3)) == [b"1", b"2", b"3"]


def test_a_position_of_the_old_topic_that_is_stored_late_is_not_taken_for_one_of_the_new(opened: Opened) -> None:
    opened.write("one", b"old 1", b"old 2")
    source = opened.group("one")
    read(source, 2)
    opened.remake("one")
    opened.write("one", b"1", b"2", b"3")
    reshaped(source)
    source.commit({ONE: 2})  # as a loop does that has worked until now
    assert values(read(source, 3)) == [b"1", b"2", b"3"]


def test_a_reader_is_told_that_its_topic_has_grown_or_begins_anew(opened: Opened) -> None:
    opened.write("one", b"1", b"2")
    reader = opened.reader(ONE)
    read(reader, 2)
    opened.grow("one", 2)
    assert reshaped(reader)[-1].reshaped == ("one",)
    another = opened.reader(*opened.log.partitions("one"))
    read(another, 2)
    before = opened.log.shapes(["one"])["one"]
    opened.remake("one")
    assert reshaped(another)[-1].reshaped == ("one",)
    after = opened.log.shapes(["one"])["one"]
    assert before.made != after.made
