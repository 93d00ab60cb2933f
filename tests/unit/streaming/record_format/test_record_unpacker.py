"""Tests that unpacked records are those that kafka-python's own reading of the same bytes gives."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher, IsolationLevel
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import TopicPartition

from streaming.broker.fetched import FetchedRecords
from streaming.record_format.record_unpacker import BrokenRecord, PackedBatch, RecordUnpacker

HERE = TopicPartition("t-chat", 3)
START_MS = 1_700_000_000_000
PARTS = st.none() | st.binary(max_size=200)
HEADERS = st.lists(st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=70)), max_size=2)


class Line(NamedTuple):
    """What a producer writes; gap: offsets that compaction took away before it."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    later_ms: int
    gap: int


LATER_MS = st.sampled_from([-70_000, -1, 0, 0, 1, 63, 64, 9_000, 3_000_000])
LINES = st.builds(Line, PARTS, PARTS, HEADERS, LATER_MS, st.sampled_from([0, 0, 0, 1, 100, 9_000]))


def batch(lines: Sequence[Line], offset: int, codec: int = 0, **producer: Any) -> tuple[bytes, int]:
    """A batch as a broker sends it, and the offset after it."""
    builder = MemoryRecordsBuilder(2, codec, 1 << 20, offset=0, **producer)
    for line in lines:
        builder.skip(line.gap)
        builder.append(START_MS + line.later_ms, line.key, line.value, line.headers)
    builder.close()
    data = bytearray(builder.buffer())
    data[:8] = offset.to_bytes(8, "big")
    return bytes(data), offset + builder._next_offset


def fetched(kind: Any, data: bytes, from_offset: int, aborted: Sequence[Any] = ()) -> Any:
    return kind(
        from_offset,
        HERE,
        MemoryRecords(data),
        key_deserializer=None,
        value_deserializer=None,
        check_crcs=True,
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=list(aborted),
    )


def ours(*arguments: Any) -> Any:
    return fetched(lambda *given, **options: FetchedRecords("t-", *given, **options), *arguments)


def theirs(*arguments: Any) -> Any:
    return fetched(Fetcher.PartitionRecords, *arguments)


def read(records: Any, sizes: Sequence[int]) -> list[Any]:
    """What each `take` gives and leaves behind, up to the end."""
    seen = []
    for size in [*sizes, *[7] * 400]:
        if not records:
            break
        lines = records.take(size)
        where = records.next_fetch_offset, records.leader_epoch
        seen.append((where, [(line.offset, line.timestamp, line.key, line.value) for line in lines]))
    assert not records
    return seen


@given(
    st.lists(st.tuples(st.lists(LINES, min_size=1, max_size=20), st.sampled_from([0, 1, 3])), max_size=4),
    st.integers(0, 30),
    st.lists(st.integers(1, 12), max_size=5),
)
def test_batches_are_read_as_the_client_reads_them(
    batches: list[tuple[list[Line], int]], skipped: int, sizes: list[int]
) -> None:
    offset, data = 1_000_000, b""
    for lines, codec in batches:
        written, offset = batch(lines, offset, codec)
        data += written
    from_offset = min(1_000_000 + skipped, offset - 1)  # no broker answers with batches that end before
    assert read(ours(data, from_offset), sizes) == read(theirs(data, from_offset), sizes)


def test_records_say_where_they_are_without_the_prefix() -> None:
    data, _ = batch([Line(b"k", b"v", [], 0, 0)], 5)
    [record] = ours(data, 5).take(10)
    assert (record.topic, record.partition, record.offset, record.timestamp) == ("chat", 3, 5, START_MS)


def test_the_brokers_time_counts_where_the_batch_says_so() -> None:
    data, _ = batch([Line(b"k", b"v", [], 5, 0), Line(b"k", b"v", [], 900, 0)], 0)
    changed = bytearray(data)
    changed[22] |= 0x08  # LogAppendTime, at the lower byte of the attributes
    lines = fetched(_unchecked, bytes(changed), 0).take(5)
    assert [line.timestamp for line in lines] == [START_MS + 900] * 2


def _unchecked(*given: Any, **options: Any) -> FetchedRecords:
    return FetchedRecords("t-", *given, **{**options, "check_crcs": False})


class Aborted(NamedTuple):
    """An aborted transaction, as a fetch reports it."""

    first_offset: int
    producer_id: int


def test_aborted_transactions_and_markers_are_passed_over() -> None:
    of_7 = {"transactional": True, "producer_id": 7, "producer_epoch": 0, "base_sequence": 0}
    of_8 = {"transactional": True, "producer_id": 8, "producer_epoch": 0, "base_sequence": 0}
    gone, offset = batch([Line(b"gone", None, [], 0, 0)] * 3, 0, **of_7)
    kept, offset = batch([Line(b"kept", None, [], 0, 0)] * 2, offset, **of_8)
    marker, offset = batch([Line(b"\0\0\0\0", b"\0" * 6, [], 0, 0)], offset, **of_7)
    marked = bytearray(marker)
    marked[22] |= 0x20
    later, _ = batch([Line(b"later", None, [], 0, 0)], offset, **of_7)
    data = gone + kept + bytes(marked) + later
    results = []
    for kind in (
        _unchecked,
        lambda *given, **options: Fetcher.PartitionRecords(*given, **{**options, "check_crcs": False}),
    ):
        records = fetched(kind, data, 0, [Aborted(0, 7)])
        results.append(read(records, [1, 5]))
    assert results[0] == results[1]
    assert [line[2] for _, lines in results[0] for line in lines] == [b"kept", b"kept", b"later"]


def test_a_batch_that_fails_its_checksum_is_said_after_what_came_before_it() -> None:
    good, offset = batch([Line(b"a", b"b", [], 0, 0)], 0)
    bad, _ = batch([Line(b"c", b"d" * 50, [], 0, 0)], offset)
    records = ours(good + bad[:-3] + b"xyz", 0)
    assert [line.key for line in records.take(10)] == [b"a"]
    with pytest.raises(CorruptRecordError):
        records.take(10)
    assert records.next_fetch_offset == offset


@given(st.lists(LINES, min_size=1, max_size=5), st.data())
def test_bytes_that_are_no_records_raise_one_error(lines: list[Line], data: st.DataObject) -> None:
    written = bytearray(batch(lines, 0)[0][61:])
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(written)))
    with contextlib.suppress(BrokenRecord):
        RecordUnpacker("t", 0).unpack(PackedBatch(bytes(written[:cut]), 0, len(lines), 0, START_MS, None))
