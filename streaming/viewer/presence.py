"""Deadlines of viewers' presence: who may have left after a silence. Never applies an event, never reads a clock."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

import msgspec

from streaming.viewer.profile import OpenVisit

K = TypeVar("K", int, str, bytes)
LATE_MS = 60_000  # a viewer is presumed gone this much later, so that late events still count


class Deadlines(Generic[K]):
    """Times at which viewers may be gone, one per key, some 130 bytes each.

    A key that was taken is checked by its owner, and put again if the viewer is still there.
    """

    __slots__ = ("_heap", "_waiting")

    def __init__(self) -> None:
        self._heap: list[tuple[int, K]] = []
        self._waiting: set[K] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, key: K, due_ms: int) -> None:
        """Adds a key. One that is waiting keeps its time, which then comes too early: it is checked once more."""
        if key not in self._waiting:
            self._waiting.add(key)
            heapq.heappush(self._heap, (due_ms, key))

    def take(self, now_ms: int, most: int | None = None) -> list[K]:
        """Removes and returns keys whose time came LATE_MS ago or before, the longest due first."""
        taken: list[K] = []
        while self._heap and self._heap[0][0] + LATE_MS <= now_ms and (most is None or len(taken) < most):
            _, key = heapq.heappop(self._heap)
            self._waiting.remove(key)
            taken.append(key)
        return taken


NO_ITEMS = b"\x90"  # an empty array in MessagePack
MOST_OF_ERASED = 64  # bytes of an erased viewer's profile besides the id, at most


class PackedPresence(msgspec.Struct, array_like=True):
    """The fields of a packed ViewerProfile about presence. The rest is not decoded: a tenth of the time."""

    v: int
    viewer: str
    visits: msgspec.Raw
    habits: msgspec.Raw
    room: str | None
    total_visits: int
    total_events: int
    first_at_ms: int
    last_at_ms: int
    recent_events: msgspec.Raw
    appended_ms: int
    repeats: int = 0
    rules: msgspec.Raw = msgspec.Raw(NO_ITEMS)
    erased_ms: int = 0

    @property
    def is_erased(self) -> bool:
        """Whether nothing is known of the viewer but that they were forgotten."""
        return self.erased_ms > 0 and not self.total_events and bytes(self.rules) == NO_ITEMS

    @property
    def heard_ms(self) -> int | None:
        """Time of the viewer's last event in their current room; None where they are in none."""
        return _VISITS.decode(self.visits)[-1].last_at_ms if self.room is not None else None


_VISITS = msgspec.msgpack.Decoder(list[OpenVisit])
_PRESENCE = msgspec.msgpack.Decoder(PackedPresence)


def presence_of(value: bytes) -> PackedPresence:
    """Reads a packed profile. Raises msgspec.DecodeError."""
    return _PRESENCE.decode(value)


def packed_rules(value: bytes) -> bytes:
    """The rules in a packed profile, packed; empty for none."""
    try:
        rules = bytes(presence_of(value).rules)
    except msgspec.DecodeError:
        return b""
    return b"" if rules == NO_ITEMS else rules


def is_erased(key: bytes, value: bytes) -> bool:
    """Whether a packed profile only says that its viewer was forgotten. A longer one is not even read."""
    if len(value) > len(key) + MOST_OF_ERASED:
        return False
    try:
        return presence_of(value).is_erased
    except msgspec.DecodeError:
        return False
