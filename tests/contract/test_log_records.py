"""The contract of records and readers: the same tests on the in-memory log and on a real Kafka."""

from __future__ import annotations

import time

import pytest

from streaming.errors import TopicMissing
from streaming.log.partitioner import partition_of
from tests.contract.opened_log import ONE, A, Opened, assigned, caught_up, read, settle, values


def test_records_of_a_key_come_back_in_order_from_the_partition_of_the_key(opened: Opened) -> None:
    opened.write("a", b"1", b"2", b"3", key=b"room-7")
    records = read(opened.reader(*A), 3)
    assert values(records) == [b"1", b"2", b"3"]
    assert {(record.topic, record.partition, record.key) for record in records} == {
        ("a", partition_of(b"room-7", 4), b"room-7")
    }
    assert [record.offset for record in records] == [0, 1, 2]


def test_a_reader_starts_at_the_offset_it_is_given_of_each_partition(opened: Opened) -> None:
    opened.write("a", b"0", b"1", b"2", partition=1)
    opened.write("a", b"x", partition=2)
    source = opened.log.reader(A[1:3], {A[1]: 2, A[2]: 0})
    assert {(record.partition, record.offset) for record in read(source, 2)} == {(1, 2), (2, 0)}
    source.close()
    at_end = opened.log.reader(A[1:2], {A[1]: 3})
    opened.write("a", b"3", partition=1)
    assert values(read(at_end, 1)) == [b"3"]
    at_end.close()


def test_the_timestamp_is_the_time_of_appending(opened: Opened) -> None:
    before_ms = time.time_ns() // 1_000_000
    opened.write("a", b"1", b"2")
    times = [record.timestamp for record in read(opened.reader(*A), 2)]
    assert before_ms <= times[0] <= times[1] <= time.time_ns() // 1_000_000


def test_a_given_partition_wins_over_the_key_and_no_key_is_allowed(opened: Opened) -> None:
    opened.write("a", b"1", key=b"room-7", partition=3)
    opened.write("a", b"2", key=None, partition=3)
    opened.write("a", b"3", key=None)
    assert values(read(opened.reader(A[3]), 2))[:2] == [b"1", b"2"]
    assert sorted(str(value) for value in values(read(opened.reader(*A), 3))) == ["b'1'", "b'2'", "b'3'"]


def test_a_tombstone_is_a_value_of_none_and_not_an_empty_one(opened: Opened) -> None:
    sink = opened.log.sink()
    sink.send("one", b"k", None)
    sink.send("one", b"k", b"")
    sink.flush()
    assert values(read(opened.reader(ONE), 2)) == [None, b""]
    sink.close()


def test_a_record_of_a_megabyte_passes(opened: Opened) -> None:
    opened.write("one", b"before", b"x" * 1_500_000, b"after")
    assert [len(value or b"") for value in values(read(opened.reader(ONE), 3))] == [6, 1_500_000, 5]


def test_many_records_come_back_each_once_and_in_order(opened: Opened) -> None:
    opened.write("one", *(b"%d" % number for number in range(20_000)))
    assert values(read(opened.reader(ONE), 20_000)) == [b"%d" % number for number in range(20_000)]


def test_a_reader_reads_exactly_its_partitions(opened: Opened) -> None:
    for index in range(4):
        opened.write("a", b"%d" % index, partition=index)
    reader = opened.reader(A[1], A[2])
    assert sorted(str(value) for value in values(read(reader, 2))) == ["b'1'", "b'2'"]
    assert len(reader.poll(0.2)) == 0


def test_a_reader_from_the_end_sees_only_what_comes_after(opened: Opened) -> None:
    opened.write("one", b"old")
    reader = opened.reader(ONE, at_end=True)
    assert caught_up(reader.lag())
    opened.write("one", b"new")
    assert values(read(reader, 1)) == [b"new"]


def test_lag_counts_what_is_unread_and_reaches_zero(opened: Opened) -> None:
    opened.write("one", b"1", b"2", b"3")
    reader = opened.reader(ONE)
    assert not caught_up(reader.lag())
    read(reader, 3)
    settle(reader, until=lambda: reader.lag() == {ONE: 0})


def test_lag_reaches_zero_behind_a_transaction(opened: Opened) -> None:
    source, sink = opened.group("a"), opened.log.sink("t")
    assigned(source)
    sink.send("one", b"k", b"1")
    sink.commit(source, {A[0]: 0})
    reader = opened.reader(ONE)
    read(reader, 1)
    settle(reader, until=lambda: reader.lag() == {ONE: 0})
    sink.close()


def test_a_poll_without_records_is_empty_and_comes_back_in_time(opened: Opened) -> None:
    reader = opened.reader(ONE)
    reader.poll(0.1)
    began = time.monotonic()
    assert len(reader.poll(0.3)) == 0
    assert 0.2 < time.monotonic() - began < 2.0


def test_contact_is_recent_while_the_log_answers(opened: Opened) -> None:
    reader = opened.reader(ONE)
    settle(reader, until=lambda: reader.contact_age_s() < 0.5)


def test_a_missing_topic_is_named(opened: Opened) -> None:
    for attempt in (
        lambda: opened.log.partitions("nowhere"),
        lambda: opened.log.group(["nowhere"], "g", "0"),
        lambda: opened.write("nowhere", b"1"),
    ):
        with pytest.raises(TopicMissing, match="nowhere"):
            attempt()


def test_partitions_come_in_order_and_ends_count_their_records(opened: Opened) -> None:
    assert opened.log.partitions("a") == A
    opened.write("a", b"1", b"2", partition=2)
    assert opened.log.ends(A) == {A[0]: 0, A[1]: 0, A[2]: 2, A[3]: 0}
