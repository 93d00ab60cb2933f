"""Tests that packed batches are what Kafka's own record format says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.record.util import decode_varint

from streaming.record_format.record_packer import RecordPacker, varint

PARTS = st.none() | st.binary(max_size=200)


@given(st.integers(0, 2**31 - 1))
def test_a_varint_is_read_back_by_the_client(number: int) -> None:
    written = varint(number)
    assert decode_varint(memoryview(written), 0) == (number, len(written))


@given(st.lists(st.tuples(PARTS, PARTS), max_size=60), st.integers(1, 2000))
def test_all_records_come_back_in_order_whatever_the_batch_size(
    records: list[tuple[bytes | None, bytes | None]], max_bytes: int
) -> None:
    batches = list(RecordPacker(max_bytes).pack(records))
    assert [record for batch in batches for record in unpack(batch.data)] == records
    assert sum(batch.count for batch in batches) == len(records)
    assert all(len(list(unpack(batch.data))) == batch.count for batch in batches)


def test_a_large_record_ends_its_batch() -> None:
    packer = RecordPacker(1_000)
    assert [batch.count for batch in packer.pack([(b"k", b"x" * 20_000), (b"k", b"y"), (b"k", b"z")])] == [1, 2]


def unpack(data: bytes) -> list[tuple[bytes | None, bytes | None]]:
    """Reads records as https://kafka.apache.org/documentation/#record describes them."""
    view, place = memoryview(data), 0
    found: list[tuple[bytes | None, bytes | None]] = []
    while place < len(data):
        length, place = decode_varint(view, place)
        end = place + length
        assert data[place : place + 2] == b"\0\0"
        offset, place = decode_varint(view, place + 2)
        assert offset == len(found)
        key, place = take(data, place)
        value, place = take(data, place)
        assert data[place:end] == b"\0"
        found.append((key, value))
        place = end
    return found


def take(data: bytes, place: int) -> tuple[bytes | None, int]:
    length, place = decode_varint(memoryview(data), place)
    return (None, place) if length < 0 else (data[place : place + length], place + length)
