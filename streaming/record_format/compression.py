"""Decompresses batches with Kafka's codecs, up to a bound. Never reads a record, never compresses.

The ids and their formats: https://kafka.apache.org/documentation/#recordbatch; snappy's blocks are those of xerial's
snappy-java, which is what Java writes, beside the raw form that librdkafka writes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Final

NONE: Final = 0
NAMES: Final[Mapping[int, str]] = {NONE: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
PACKAGES: Final[Mapping[str, str]] = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}
MODULES: Final[Mapping[str, str]] = {"snappy": "snappy", "lz4": "lz4.frame", "zstd": "zstandard"}

# Bound for one batch. Our topics take 4 MiB of it compressed, and text unpacks to some 10 times as much. More than 32
# times the largest is no chat but a decompression bomb.
MAX_UNPACKED_BYTES: Final = 134_217_728
MAX_WINDOW_BYTES: Final = 1 << 31  # the window of `zstd --long=31`; memory is used only as far as there is content
READ_BYTES: Final = 262_144  # read from a stream at once

XERIAL_MAGIC: Final = b"\x82SNAPPY\0"
XERIAL_HEADER_BYTES: Final = 16
LZ4_MAGIC: Final = b"\x04\x22\x4d\x18"
LZ4_HAS_SIZE: Final = 0x08  # in the byte after the magic; the size then follows another one, as eight bytes
LZ4_SIZE_END: Final = 14


class CodecMissing(ValueError):
    """The batch is compressed with a codec that this build does not have. Nothing is wrong with the bytes."""


class BrokenPayload(ValueError):
    """Bytes that their codec cannot unpack, or that unpack to more than the bound."""


def can_unpack(codec: str) -> bool:
    """Whether this build has the library for a codec, by Kafka's name for it."""
    if codec not in NAMES.values():
        return False
    module = MODULES.get(codec)
    return module is None or find_spec(module.partition(".")[0]) is not None


def unpack(codec: int, data: bytes, most: int = MAX_UNPACKED_BYTES) -> bytes:
    """Decompresses the payload of a batch of record format 1 or 2. Raises CodecMissing, BrokenPayload."""
    if codec == NONE:
        return data
    name = NAMES.get(codec)
    if name is None:
        known = ", ".join(f"{number} {known}" for number, known in NAMES.items())
        raise CodecMissing(f"packed with codec {codec}, which this build does not know: it knows {known}")
    try:
        return _UNPACKERS[name](data, most)
    except ImportError as err:
        raise CodecMissing(f"packed with {name}, and its package {PACKAGES[name]} is missing ({err})") from err


def unpack_oldest(codec: int, data: bytes, most: int = MAX_UNPACKED_BYTES) -> bytes:
    """`unpack` for record format 0, whose lz4 frames have a header checksum that differs from lz4's own."""
    if NAMES.get(codec) == "lz4":
        data = _with_true_checksum(data)
    return unpack(codec, data, most)


def _gunzip(data: bytes, most: int) -> bytes:
    parts: list[bytes] = []
    left = most
    while data:
        member = zlib.decompressobj(31)  # 31: with gzip's header
        try:
            part = member.decompress(data, left + 1)
        except zlib.error as err:
            raise BrokenPayload(f"broken gzip: {err}") from err
        left -= len(part)
        _require_within(left, most)
        if not member.eof:
            raise BrokenPayload("broken gzip: it ends too early")
        parts.append(part)
        data = member.unused_data.lstrip(b"\0")  # padding between members is allowed
    return b"".join(parts)


def _unsnappy(data: bytes, most: int) -> bytes:
    if not data.startswith(XERIAL_MAGIC):
        return _snappy_block(data, most, most)
    parts: list[bytes] = []
    place, left = 0, most
    while place < len(data):
        if data.startswith(XERIAL_MAGIC, place):  # streams may follow one another
            place += XERIAL_HEADER_BYTES
            continue
        if place + 4 > len(data):
            raise BrokenPayload("broken snappy: it ends within a block's length")
        (length,) = struct.unpack_from(">i", data, place)
        place += 4
        if length < 0 or place + length > len(data):
            raise BrokenPayload(f"broken snappy: a block of {length} bytes, and {len(data) - place} are there")
        part = _snappy_block(data[place : place + length], left, most)
        left -= len(part)
        parts.append(part)
        place += length
    return b"".join(parts)


def _snappy_block(data: bytes, left: int, most: int) -> bytes:
    import snappy  # noqa: PLC0415  where it is missing, only what was packed with it cannot be read

    _require_within(left - _snappy_length(data), most)
    try:
        return bytes(snappy.uncompress(data))
    except snappy.UncompressError as err:
        raise BrokenPayload("broken snappy: a block cannot be unpacked") from err


def _snappy_length(data: bytes) -> int:
    """The decompressed size that a block states, in a varint at its beginning."""
    length = 0
    for place, byte in enumerate(data[:5]):
        length |= (byte & 0x7F) << (7 * place)
        if byte <= 0x7F:
            return length
    raise BrokenPayload("broken snappy: a block without a length")


def _unlz4(data: bytes, most: int) -> bytes:
    from lz4 import frame  # noqa: PLC0415

    parts: list[bytes] = []
    left = most
    while data:
        size = _lz4_size(data)
        _require_within(left - size, most)
        try:
            if size:  # known before: unpacked at once, in two thirds of the time
                part, used = frame.decompress(data, return_bytes_read=True)
                data = data[used:]
                left -= len(part)
                parts.append(part)
                continue
            unpacker = frame.LZ4FrameDecompressor()
            part = unpacker.decompress(data, max_length=READ_BYTES)
            while part:
                left -= len(part)
                _require_within(left, most)
                parts.append(part)
                part = b"" if unpacker.eof else unpacker.decompress(b"", max_length=READ_BYTES)
        except RuntimeError as err:
            raise BrokenPayload(f"broken lz4: {err}") from err
        if not unpacker.eof:
            raise BrokenPayload("broken lz4: it ends too early")
        data = unpacker.unused_data or b""
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _lz4_size(data: bytes) -> int:
    """The decompressed size that a frame states, 0 if none. Asking lz4 takes longer than to decompress a batch."""
    known = len(data) >= LZ4_SIZE_END and data.startswith(LZ4_MAGIC) and data[4] & LZ4_HAS_SIZE
    return int.from_bytes(data[LZ4_SIZE_END - 8 : LZ4_SIZE_END], "little") if known else 0


def _unzstd(data: bytes, most: int) -> bytes:
    import zstandard  # noqa: PLC0415

    parts: list[bytes] = []
    left = most
    try:
        unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
        stream = unpacker.stream_reader(data, read_across_frames=True)
        while part := stream.read(READ_BYTES):
            left -= len(part)
            _require_within(left, most)
            parts.append(part)
    except zstandard.ZstdError as err:
        raise BrokenPayload(f"broken zstd: {err}") from err
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _require_within(left: int, most: int) -> None:
    if left < 0:
        raise BrokenPayload(f"it unpacks to more than {most} bytes, which no honest batch does")


def _with_true_checksum(frame: bytes) -> bytes:
    """Corrects a header checksum: Kafka's first lz4 began it at the frame's magic, lz4 begins it after the magic."""
    if len(frame) < 7 or not frame.startswith(LZ4_MAGIC):
        return frame
    end = LZ4_SIZE_END if frame[4] & LZ4_HAS_SIZE else LZ4_SIZE_END - 8
    checksum = _xxh32(frame[4:end]) >> 8 & 0xFF
    return frame[:end] + bytes([checksum]) + frame[end + 1 :]


def _xxh32(data: bytes) -> int:
    """XXH32 of fewer than 16 bytes with seed 0: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md"""
    found = 374_761_393 + len(data)
    words = len(data) // 4 * 4
    for (word,) in struct.iter_unpack("<I", data[:words]):
        found = _rotated(found + word * 3_266_489_917, 17) * 668_265_263
    for byte in data[words:]:
        found = _rotated(found + byte * 374_761_393, 11) * 2_654_435_761
    found &= 0xFFFFFFFF
    found = (found ^ found >> 15) * 2_246_822_519 & 0xFFFFFFFF
    found = (found ^ found >> 13) * 3_266_489_917 & 0xFFFFFFFF
    return found ^ found >> 16


def _rotated(number: int, bits: int) -> int:
    number &= 0xFFFFFFFF
    return number << bits | number >> (32 - bits)


_UNPACKERS: Final[Mapping[str, Callable[[bytes, int], bytes]]] = {
    "gzip": _gunzip,
    "snappy": _unsnappy,
    "lz4": _unlz4,
    "zstd": _unzstd,
}
