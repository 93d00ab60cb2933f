"""Owns the contract of Source, Sink and Log: the same tests on the in-memory log and on a real Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from streaming.broker import KafkaAdmin, KafkaConfig, KafkaLog
from streaming.clock import SystemClock
from streaming.errors import Fenced, LogError, LogUnavailable, TopicMissing
from streaming.log import Batch, Log, Partition, Record, Source
from streaming.memory_log import MemoryLog
from streaming.partitioner import partition_of

TOPICS = {"a": 4, "b": 4, "one": 1}
PATIENCE_S = 60.0
A = [Partition("a", index) for index in range(4)]
B = [Partition("b", index) for index in range(4)]
ONE = Partition("one", 0)


class Opened:
    """A log under test, and what closes what a test opens on it."""

    def __init__(self, log: Log, expire: Callable[[str, str], None]) -> None:
        self.log = log
        self.expire = expire
        self._sources: list[Source] = []

    def group(self, *topics: str, member: str = "0", group: str = "g") -> Source:
        return self._kept(self.log.group(topics, group, member))

    def reader(self, *partitions: Partition, at_end: bool = False) -> Source:
        return self._kept(self.log.reader(partitions, "end" if at_end else "beginning"))

    def write(self, topic: str, *values: bytes, key: bytes | None = b"k", partition: int | None = None) -> None:
        sink = self.log.sink()
        for value in values:
            sink.send(topic, key, value, partition)
        sink.flush()
        sink.close()

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def _kept(self, source: Source) -> Source:
        self._sources.append(source)
        return source


@pytest.fixture(params=["memory", "kafka"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    if request.param == "memory":
        memory = MemoryLog(SystemClock(), TOPICS)
        opened = Opened(memory, memory.expire)
    else:
        config: KafkaConfig = request.getfixturevalue("kafka_config")
        prefix: str = request.getfixturevalue("topic_prefix")
        with KafkaAdmin(config) as admin:
            for topic, count in TOPICS.items():
                settings = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "4194304"}
                admin.create(prefix + topic, partitions=count, replication_factor=1, settings=settings)
        opened = Opened(KafkaLog(config, prefix), lambda _group, _member: None)  # the broker's own clock does it
    yield opened
    opened.close()


def read(source: Source, count: int) -> list[Record]:
    """The next `count` records, in the order polled; fails where they do not come."""
    found: list[Record] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        batch = source.poll(0.2)
        assert all(batch.records.values()), "a partition without records must not be in a batch"
        found += [record for records in batch.records.values() for record in records]
    assert len(found) == count
    return found


def settle(*sources: Source, until: Callable[[], bool]) -> list[Batch]:
    """Polls the sources in turn until it is so; every batch that came."""
    batches: list[Batch] = []
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline, "it did not come to be"
        batches += [source.poll(0.1) for source in sources]
    return batches


def assigned(source: Source) -> list[Partition]:
    """Polls a new member until it is given partitions."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if batch := source.poll(0.2).assigned:
            return list(batch)
    raise AssertionError("no assignment")


def caught_up(lag: Mapping[Partition, int]) -> bool:
    return not any(lag.values())


def values(records: list[Record]) -> list[bytes | None]:
    return [record.value for record in records]


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
    owned: set[Partition] = set()

    def owns(expected: list[Partition]) -> Callable[[], bool]:
        def check() -> bool:
            batch = second.poll(0.1)
            owned.difference_update(batch.revoked)
            owned.update(batch.assigned)
            return owned == set(expected)

        return check

    settle(first, until=owns(A[2:]))
    first.close()
    opened.expire("g", "0")
    settle(until=owns(A))


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
