"""Tests of unpacking: every codec in every form that clients write, bounded, and one of two errors else."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Callable

import lz4.frame
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from streaming.record_format.compression import BrokenPayload, CodecMissing, can_unpack, unpack, unpack_oldest

TEXT = b"".join(b'{"room":"r","text":"hello there all %d"}' % number for number in range(3_000))
XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)


def xerial(data: bytes, header: bytes = XERIAL) -> bytes:
    """Compresses as snappy-java does: blocks of 32 KiB, each with its length."""
    blocks = [snappy.compress(data[start : start + 32_768]) for start in range(0, len(data), 32_768)]
    return header + b"".join(struct.pack(">i", len(block)) + block for block in blocks)


def wide_zstd(data: bytes) -> bytes:
    """Compresses as `zstd --long=31` does: it says that it may look back two gigabytes."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=31)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(data) + packer.flush()


def streamed_zstd(data: bytes) -> bytes:
    """A frame that does not say how much it holds, as zstd-jni and librdkafka write."""
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return packer.compress(data) + packer.flush()


def lz4_frame(data: bytes, **options: bool) -> bytes:
    packed: bytes = lz4.frame.compress(data, **options)
    return packed


FORMS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "gzip": (1, gzip.compress),
    "gzip in two members": (1, lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "snappy, raw": (2, snappy.compress),
    "snappy, xerial": (2, xerial),
    "snappy, xerial with its numbers the other way round": (2, lambda d: xerial(d, XERIAL[:8] + b"\1\0\0\0\1\0\0\0")),
    "snappy, xerial in two streams": (2, lambda data: xerial(data[:9]) + xerial(data[9:])),
    "lz4": (3, lz4_frame),
    "lz4 without its size": (3, lambda data: lz4_frame(data, store_size=False)),
    "lz4 with linked blocks and checksums": (
        3,
        lambda data: lz4_frame(data, block_linked=True, content_checksum=True, block_checksum=True),
    ),
    "lz4 in two frames": (3, lambda data: lz4_frame(data[:9]) + lz4_frame(data[9:], store_size=False)),
    "zstd": (4, zstandard.ZstdCompressor().compress),
    "zstd, streamed": (4, streamed_zstd),
    "zstd, of a long window": (4, wide_zstd),
    "zstd in two frames": (4, lambda data: streamed_zstd(data[:9]) + zstandard.compress(data[9:])),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, TEXT * 80], ids=["nothing", "a byte", "a batch", "ten megabytes"])
def test_what_clients_pack_comes_out_as_it_went_in(form: str, data: bytes) -> None:
    codec, pack = FORMS[form]
    assert unpack(codec, pack(data)) == data


@pytest.mark.parametrize("form", [form for form in FORMS if form != "none"])
def test_a_bomb_is_refused_before_it_goes_off(form: str) -> None:
    codec, pack = FORMS[form]
    bomb = pack(bytes(3_000_000))
    assert len(bomb) < 200_000
    assert len(unpack(codec, bomb, 3_000_000)) == 3_000_000
    with pytest.raises(BrokenPayload, match="unpacks to more than 2999999 bytes"):
        unpack(codec, bomb, 2_999_999)


def test_a_size_that_is_only_said_allocates_nothing() -> None:
    lies = bytearray(lz4_frame(b"x" * 100))
    lies[6:14] = struct.pack("<Q", 1 << 40)
    with pytest.raises(BrokenPayload):
        unpack(3, bytes(lies))
    with pytest.raises(BrokenPayload, match="unpacks to more"):
        unpack(2, b"\xff\xff\xff\xff\x0f" + snappy.compress(b"x")[1:])


@pytest.mark.parametrize("options", [{}, {"store_size": False}, {"content_checksum": True}], ids=str)
def test_an_lz4_frame_that_is_cut_off_anywhere_is_broken(options: dict[str, bool]) -> None:
    packed = lz4_frame(TEXT[:300], **options)
    for end in range(1, len(packed)):
        with pytest.raises(BrokenPayload, match="broken lz4"):
            unpack(3, packed[:end])


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_codec_that_kafka_does_not_have_yet_is_named(codec: int) -> None:
    with pytest.raises(CodecMissing, match=f"codec {codec}, which this build does not know"):
        unpack(codec, b"whatever")


@pytest.mark.parametrize(("form", "module", "package"), [
    ("snappy, raw", "snappy", "python-snappy"), ("lz4", "lz4", "lz4"), ("zstd", "zstandard", "zstandard"),
])  # fmt: skip
def test_a_package_that_is_missing_is_named_and_found_again_once_it_is_there(
    form: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, pack = FORMS[form]
    packed = pack(TEXT)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, module, None)
        with pytest.raises(CodecMissing, match=f"its package {package} is missing"):
            unpack(codec, packed)
    assert unpack(codec, packed) == TEXT


def test_what_this_build_can_unpack_is_known_by_name() -> None:
    assert all(can_unpack(name) for name in ("none", "gzip", "snappy", "lz4", "zstd"))
    assert not can_unpack("brotli")


def test_the_first_lz4_of_kafka_is_read_in_spite_of_its_checksum() -> None:
    for packed in (lz4_frame(TEXT, store_size=False), lz4_frame(TEXT)):
        end = 14 if packed[4] & 0x08 else 6
        wrong = packed[:end] + bytes([packed[end] ^ 0x5A]) + packed[end + 1 :]
        with pytest.raises(BrokenPayload):
            unpack(3, wrong)
        assert unpack_oldest(3, wrong) == TEXT


@pytest.mark.parametrize("form", [form for form in FORMS if form != "none"])
def test_a_payload_that_is_cut_gives_an_error_or_less(form: str) -> None:
    codec, pack = FORMS[form]
    packed = pack(TEXT)
    for cut in (1, 5, len(packed) // 2, len(packed) - 1):
        try:
            assert len(unpack(codec, packed[:cut])) < len(TEXT)  # fewer bytes than records need: said one step later
        except BrokenPayload:
            continue


@given(st.sampled_from([form for form in FORMS if form != "none"]), st.data())
def test_bytes_that_are_no_payload_raise_one_error(form: str, data: st.DataObject) -> None:
    codec, pack = FORMS[form]
    packed = bytearray(pack(TEXT[:600]))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    for unpacker in (unpack, unpack_oldest):
        try:
            unpacker(codec, bytes(packed), 1_000_000)
        except BrokenPayload:
            continue
