"""The contract of commits and transactions: the same tests on the in-memory log and on a real Kafka."""

from __future__ import annotations

import pytest

from streaming.errors import Fenced, LogError, LogUnavailable
from tests.contract.opened_log import ONE, PATIENCE_S, A, B, Opened, assigned, read, values


def test_a_transaction_is_seen_whole_after_its_commit_and_not_before(opened: Opened) -> None:
    source, sink, reader = opened.group("a"), opened.log.sink("t"), opened.reader(ONE, B[0])
    assigned(source)
    sink.send("one", b"k", b"1")
    sink.send("b", b"k", b"2", partition=0)
    sink.flush()
    assert len(reader.poll(0.3)) == 0
    assert opened.log.ends([ONE]) == {ONE: 0}
    sink.commit(source, {})
    assert sorted(str(value) for value in values(read(reader, 2))) == ["b'1'", "b'2'"]
    sink.close()


def test_a_transaction_carries_the_positions(opened: Opened) -> None:
    opened.write("one", b"1", b"2")
    source, sink = opened.group("one"), opened.log.sink("t")
    read(source, 2)
    sink.send("a", b"k", b"out")
    sink.commit(source, {ONE: 1})
    sink.close()
    source.close()
    assert values(read(opened.group("one"), 1)) == [b"2"]
    assert values(read(opened.reader(*A), 1)) == [b"out"]


def test_what_is_sent_while_a_transaction_ends_belongs_to_the_next(opened: Opened) -> None:
    opened.write("one", b"1", b"2")
    source, sink = opened.group("one"), opened.log.sink("t")
    read(source, 2)
    sink.send("a", b"k", b"first")
    ending = sink.begin_commit(source, {ONE: 1})
    source.poll(0)  # goes on meanwhile
    sink.send("a", b"k", b"second")
    assert ending.done(), "a send waits for the end"
    sink.flush()
    assert values(read(opened.reader(*A), 1)) == [b"first"]
    sink.close()
    source.close()
    assert values(read(opened.group("one"), 1)) == [b"2"]


def test_a_commit_that_failed_while_it_ended_is_said_by_the_next_call(opened: Opened) -> None:
    source, old = opened.group("one"), opened.log.sink("t")
    assigned(source)
    old.send("a", b"k", b"zombie")
    old.flush()
    opened.log.sink("t").close()
    ending = old.begin_commit(source, {ONE: 0})
    with pytest.raises(Fenced):
        ending.result(PATIENCE_S)
    with pytest.raises(Fenced):
        old.flush()
    old.close()


def test_a_transaction_that_is_never_committed_leaves_neither_records_nor_positions(opened: Opened) -> None:
    opened.write("one", b"1")
    source, sink = opened.group("one"), opened.log.sink("t")
    read(source, 1)
    sink.send("a", b"k", b"lost")
    sink.flush()
    sink.close()
    source.close()
    assert values(read(opened.group("one"), 1)) == [b"1"]
    opened.write("a", b"kept")
    assert values(read(opened.reader(*A), 1)) == [b"kept"]


def test_a_fenced_sink_can_neither_write_nor_commit(opened: Opened) -> None:
    source, old = opened.group("one"), opened.log.sink("t")
    assigned(source)
    old.send("a", b"k", b"zombie")
    old.flush()
    new = opened.log.sink("t")
    with pytest.raises(Fenced):
        old.commit(source, {ONE: 0})
    new.send("a", b"k", b"living")
    new.commit(source, {ONE: 0})
    assert values(read(opened.reader(*A), 1)) == [b"living"]
    old.close()
    new.close()


def test_a_fenced_member_cannot_commit_through_a_transaction(opened: Opened) -> None:
    first, sink = opened.group("one"), opened.log.sink("t")
    assigned(first)
    assigned(opened.group("one"))
    sink.send("a", b"k", b"zombie")
    with pytest.raises(Fenced):
        sink.commit(first, {ONE: 0})
    sink.close()
    opened.write("a", b"kept")
    assert values(read(opened.reader(*A), 1)) == [b"kept"]


def test_a_plain_sink_writes_then_stores_the_positions(opened: Opened) -> None:
    opened.write("one", b"1", b"2")
    source, sink = opened.group("one"), opened.log.sink()
    read(source, 2)
    sink.send("a", b"k", b"out")
    sink.commit(source, {ONE: 2})
    sink.close()
    source.close()
    opened.write("one", b"3")
    assert values(read(opened.group("one"), 1)) == [b"3"]
    assert values(read(opened.reader(*A), 1)) == [b"out"]


def test_a_reader_of_exact_partitions_stores_no_positions(opened: Opened) -> None:
    with pytest.raises(LogError, match="no group"):
        opened.reader(ONE).commit({ONE: 1})


def test_what_a_member_writes_for_partitions_that_another_one_has_now_never_counts(opened: Opened) -> None:
    """The first is frozen between computing and committing for longer than its session."""
    first, sink = opened.group("a", member="0"), opened.log.sink("first")
    assert assigned(first) == A
    sink.send("one", b"k", b"zombie")
    opened.expire("g", "0")
    second = opened.group("a", member="1")
    assert assigned(second) == A
    with pytest.raises(LogUnavailable):
        sink.commit(first, {})
    sink.close()
    other = opened.log.sink("second")
    other.send("one", b"k", b"living")
    other.commit(second, {})
    assert values(read(opened.reader(ONE), 1)) == [b"living"]
    other.close()


def test_a_commit_without_positions_changes_none(opened: Opened) -> None:
    opened.write("one", b"1", b"2", b"3")
    source, sink = opened.group("one"), opened.log.sink("t")
    read(source, 3)
    sink.send("a", b"k", b"x")
    sink.commit(source, {})  # nothing was stored before
    sink.send("a", b"k", b"y")
    sink.commit(source, {ONE: 2})
    sink.send("a", b"k", b"z")
    sink.commit(source, {})
    sink.close()
    source.close()
    assert values(read(opened.group("one"), 1)) == [b"3"]
    assert values(read(opened.reader(*A), 3)) == [b"x", b"y", b"z"]


def test_a_member_without_partitions_commits_nothing(opened: Opened) -> None:
    source, sink = opened.group("one"), opened.log.sink("t")
    sink.send("a", b"k", b"void")
    with pytest.raises(LogUnavailable):
        sink.commit(source, {})
    sink.close()
