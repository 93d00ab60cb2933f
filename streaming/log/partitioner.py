"""Partitioners: Kafka's own, which chooses the partition of each key, and the defaults of others. Never writes."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable

from kafka.partitioner.default import murmur2

_MASK = 0xFFFFFFFF


@functools.lru_cache(maxsize=65_536)  # keys come again and again, and a hash in Python costs microseconds
def partition_of(key: bytes, num_partitions: int) -> int:
    """The partition that every Kafka client with the default partitioner gives this key."""
    return int(murmur2(key) & 0x7FFFFFFF) % num_partitions


def crc32_partition(key: bytes, num_partitions: int) -> int:
    """The partition of a key by librdkafka's default (`consistent`, `consistent_random`)."""
    return zlib.crc32(key) % num_partitions


def fnv1a_partition(key: bytes, num_partitions: int) -> int:
    """The partition of a key by the default of sarama and kafka-go: 32-bit FNV-1a, taken as a signed number."""
    hashed = 0x811C9DC5
    for byte in key:
        hashed = (hashed ^ byte) * 0x01000193 & _MASK
    signed = hashed - (1 << 32) if hashed & 0x80000000 else hashed
    return abs(signed) % num_partitions  # of the remainder in Go, which has the sign of the dividend


# Known default partitioners of producers, to guess who wrote records to wrong partitions
GUESSED: dict[str, Callable[[bytes, int], int]] = {"crc32": crc32_partition, "fnv1a": fnv1a_partition}
