"""The records of the in-memory log. Never keeps any."""

from __future__ import annotations

from typing import NamedTuple


class MemoryRecord(NamedTuple):
    """A record of a MemoryLog."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Unsent(NamedTuple):
    """A record that a sink has taken and not written. partition: None where the key chooses it."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None
