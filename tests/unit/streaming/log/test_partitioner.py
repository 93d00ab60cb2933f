"""Tests that keys land where Java's producers put them."""

from __future__ import annotations

import pytest
from kafka.partitioner.default import murmur2

from streaming.log.partitioner import partition_of


@pytest.mark.parametrize(
    ("key", "expected"),  # from org.apache.kafka.common.utils.UtilsTest.testMurmur2
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_the_java_client(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


def test_the_sign_bit_is_dropped_and_not_the_sign_changed() -> None:
    assert partition_of(b"21", 10) == (-973932308 & 0x7FFFFFFF) % 10
