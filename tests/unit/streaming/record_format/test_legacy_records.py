"""Tests of messages from before Kafka 0.11: read as kafka-python reads them, or one error of ours."""

from __future__ import annotations

import gzip
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import MemoryRecords
from kafka.record.legacy_records import LegacyRecordBatchBuilder

from streaming.record_format.compression import BrokenPayload, CodecMissing
from streaming.record_format.legacy_records import unpack_legacy
from streaming.record_format.record_unpacker import BrokenRecord
from tests.unit.streaming.record_format.test_compression import lz4_frame

START_MS = 1_500_000_000_000
WORDS = [(b"k0", b""), (b"k1", b"one"), (None, b"two"), (b"k3", None), (b"k4", b"v" * 900)]


def messages(magic: int, codec: int, offset: int = 104) -> bytes:
    """A set of messages as a producer of old wrote it; in a wrapper whose offset a broker has set."""
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
    for number, (key, value) in enumerate(WORDS):
        builder.append(number, START_MS + number, key, value)
    data = bytearray(builder.build())
    if codec:
        data[:8] = struct.pack(">q", offset)
    return bytes(data)


def seen(records: Any) -> list[tuple[int, int | None, bytes | None, bytes | None]]:
    return [(record.offset, record.timestamp, record.key, record.value) for record in records]


@pytest.mark.parametrize(("magic", "codec"), [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)])
def test_a_packed_set_is_read_as_the_client_reads_it(magic: int, codec: int) -> None:
    data = messages(magic, codec)
    (batch,) = MemoryRecords(data)
    theirs = [(offset, -1 if time is None else time, *rest) for offset, time, *rest in seen(batch)]
    assert seen(unpack_legacy("t", 0, data)) == theirs
    assert [record.offset for record in unpack_legacy("t", 0, data)] == list(range(100 * magic, 100 * magic + 5))


@pytest.mark.parametrize("magic", [0, 1])
def test_a_message_alone_is_one_record(magic: int) -> None:
    data = messages(magic, 0)
    first = data[: 12 + struct.unpack_from(">i", data, 8)[0]]
    [record] = unpack_legacy("t", 3, first)
    assert (record.partition, record.offset, record.key, record.value) == (3, 0, b"k0", b"")
    assert record.timestamp == (START_MS if magic else -1)


def test_the_brokers_time_counts_where_the_wrapper_says_so() -> None:
    data = bytearray(messages(1, 1))
    data[17] |= 0x08
    data[18:26] = struct.pack(">q", START_MS + 77)
    assert {record.timestamp for record in unpack_legacy("t", 0, bytes(data))} == {START_MS + 77}


def test_the_first_lz4_of_kafka_is_read() -> None:
    inner = messages(0, 0)
    packed = bytearray(lz4_frame(inner, store_size=False))
    packed[6] ^= 0xFF
    value = struct.pack(">Ibb", 0, 0, 3) + struct.pack(">i", -1) + struct.pack(">i", len(packed)) + packed
    found = unpack_legacy("t", 0, struct.pack(">qi", 4, len(value)) + value)
    assert [(record.key, record.value) for record in found] == WORDS


def test_a_set_with_an_unknown_codec_or_packed_twice_is_said() -> None:
    unknown = bytearray(messages(1, 1))
    unknown[17] = 6
    with pytest.raises(CodecMissing, match="codec 6"):
        unpack_legacy("t", 0, bytes(unknown))
    inner = messages(1, 1)
    packed = gzip.compress(inner)
    value = struct.pack(">Ibbq", 0, 1, 1, 0) + struct.pack(">ii", -1, len(packed)) + packed
    with pytest.raises(BrokenRecord, match="packed twice"):
        unpack_legacy("t", 0, struct.pack(">qi", 9, len(value)) + value)


@given(st.sampled_from([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 3)]), st.data())
def test_bytes_that_are_no_messages_raise_one_of_our_errors(form: tuple[int, int], data: st.DataObject) -> None:
    written = bytearray(messages(*form))
    if not form[1]:
        written = written[: 12 + struct.unpack_from(">i", written, 8)[0]]
    written[data.draw(st.integers(8, len(written) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(written)))
    try:
        unpack_legacy("t", 0, bytes(written[:cut]))
    except (BrokenRecord, BrokenPayload, CodecMissing):
        return
