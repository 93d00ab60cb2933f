"""Chooses a key's partition exactly as Kafka's own producers do. Never writes."""

from __future__ import annotations

import functools

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit hash of org.apache.kafka.common.utils.Utils.murmur2, as an unsigned number."""
    length = len(data)
    whole = length & ~3
    hashed = _SEED ^ length
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        hashed = (hashed * _M & _MASK) ^ k
    if length > whole:
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    hashed = (hashed ^ (hashed >> 13)) * _M & _MASK
    return hashed ^ (hashed >> 15)


@functools.lru_cache(maxsize=65_536)  # keys come again and again, and a hash in Python costs microseconds
def partition_of(key: bytes, num_partitions: int) -> int:
    """The partition that every Kafka client with the default partitioner gives this key."""
    return (murmur2(key) & 0x7FFFFFFF) % num_partitions
