"""Owns the profiles of recently active viewers inside a memory budget. Never decodes more than is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from streaming.events import ViewerId, ViewerProfile

ENTRY_BYTES = 300  # of one entry beside key and value: two objects' headers and the dict's links, measured


class ViewerTable:
    """Viewer → profile as the bytes that travelled, least recently written or asked for first to go. For one thread."""

    def __init__(self, budget_bytes: int, decode: Callable[[bytes], ViewerProfile]) -> None:
        self._budget_bytes = budget_bytes
        self._decode = decode
        self._profiles: OrderedDict[ViewerId, bytes] = OrderedDict()
        self._held_bytes = 0
        self.evicted = 0  # profiles let go since the beginning; while none was, whoever is not held has no profile

    def __len__(self) -> int:
        return len(self._profiles)

    @property
    def held_bytes(self) -> int:
        """What the profiles take, by estimate."""
        return self._held_bytes

    def put(self, viewer: ViewerId, value: bytes) -> int:
        """Holds a profile; says how many others had to go for it."""
        self.drop(viewer)
        self._profiles[viewer] = value
        self._held_bytes += _size(viewer, value)
        evicted = 0
        while self._held_bytes > self._budget_bytes and len(self._profiles) > 1:
            gone, its_value = self._profiles.popitem(last=False)
            self._held_bytes -= _size(gone, its_value)
            evicted += 1
        self.evicted += evicted
        return evicted

    def may_miss(self, viewer: ViewerId) -> bool:
        """Whether a viewer who is not held may have a profile all the same. From any thread, without the lock."""
        return self.evicted > 0 and viewer not in self._profiles

    def drop(self, viewer: ViewerId) -> None:
        """Forgets a viewer, if held."""
        value = self._profiles.pop(viewer, None)
        if value is not None:
            self._held_bytes -= _size(viewer, value)

    def clear(self) -> None:
        """Forgets all; none of them may be missed."""
        self._profiles.clear()
        self._held_bytes = self.evicted = 0

    def raw(self, viewer: ViewerId) -> bytes | None:
        """The profile's bytes: the same object until the profile changes, so its identity is its version."""
        value = self._profiles.get(viewer)
        if value is not None:
            self._profiles.move_to_end(viewer)
        return value

    def decode(self, value: bytes) -> ViewerProfile:
        """Raises RecordError."""
        return self._decode(value)


def _size(viewer: ViewerId, value: bytes) -> int:
    return len(viewer) + len(value) + ENTRY_BYTES
