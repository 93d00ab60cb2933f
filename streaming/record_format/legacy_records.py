"""Unpacks messages of Kafka's record formats 0 and 1, from before 0.11. Never checks a checksum, never decodes a value.

A message stands alone, or it wraps a compressed set of messages. The formats:
https://kafka.apache.org/documentation/#messageset
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from streaming.record_format.compression import unpack, unpack_oldest
from streaming.record_format.record_unpacker import BrokenRecord, LogRecord

OVERHEAD: Final = struct.Struct(">qi")  # offset, length of the rest
HEAD: Final = struct.Struct(">Ibb")  # crc, magic, attributes
CODEC_MASK: Final = 0x07
LOG_APPEND_TIME: Final = 0x08
NO_TIME_MS: Final = -1  # format 0 has no times


class _Message(NamedTuple):
    offset: int
    magic: int
    attributes: int
    time_ms: int
    key: bytes | None
    value: bytes | None


def unpack_legacy(topic: str, partition: int, data: bytes) -> list[LogRecord]:
    """Unpacks the records of one message of the log. Raises BrokenRecord, BrokenPayload, CodecMissing."""
    try:
        (wrapper,) = _messages(data)
        if not wrapper.attributes & CODEC_MASK:
            return [LogRecord(topic, partition, wrapper.offset, wrapper.time_ms, wrapper.key, wrapper.value)]
        inner = _messages(_payload(wrapper))
    except (struct.error, IndexError) as err:
        raise BrokenRecord(f"a message of format 0 or 1 ends too early: {err}") from err
    if any(message.attributes & CODEC_MASK for message in inner):
        raise BrokenRecord(f"the message at offset {wrapper.offset} is packed twice")
    # Format 1 counts offsets from the set's beginning, the wrapper has the last one; in format 0 they are absolute
    first = wrapper.offset - inner[-1].offset if wrapper.magic and inner else 0
    own_time = wrapper.magic and wrapper.attributes & LOG_APPEND_TIME
    return [
        LogRecord(
            topic, partition, first + one.offset, wrapper.time_ms if own_time else one.time_ms, one.key, one.value
        )
        for one in inner
    ]


def _payload(wrapper: _Message) -> bytes:
    if wrapper.value is None:
        raise BrokenRecord(f"the message at offset {wrapper.offset} is packed and has no value")
    codec = wrapper.attributes & CODEC_MASK
    return unpack(codec, wrapper.value) if wrapper.magic else unpack_oldest(codec, wrapper.value)


def _messages(data: bytes) -> list[_Message]:
    found: list[_Message] = []
    place = 0
    while place < len(data):
        offset, length = OVERHEAD.unpack_from(data, place)
        place += OVERHEAD.size
        end = place + length
        if length < HEAD.size or end > len(data):
            raise BrokenRecord(f"a message of {length} bytes, and {len(data) - place} are there")
        _, magic, attributes = HEAD.unpack_from(data, place)
        place += HEAD.size
        time_ms = NO_TIME_MS
        if magic == 1:
            (time_ms,) = struct.unpack_from(">q", data, place)
            place += 8
        elif magic:
            raise BrokenRecord(f"a message of format {magic} among those of format 0 and 1")
        key, place = _bytes(data, place, end)
        value, place = _bytes(data, place, end)
        if place != end:
            raise BrokenRecord(f"a message that ends {abs(place - end)} bytes from where it says")
        found.append(_Message(offset, magic, attributes, time_ms, key, value))
    return found


def _bytes(data: bytes, place: int, end: int) -> tuple[bytes | None, int]:
    (length,) = struct.unpack_from(">i", data, place)
    place += 4
    if length == -1:
        return None, place
    if length < 0 or place + length > end:
        raise BrokenRecord(f"a key or value of {length} bytes where {end - place} are left")
    return data[place : place + length], place + length
