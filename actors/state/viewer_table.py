"""The profiles of recently active viewers, within a memory budget. Never decodes more than is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from streaming.events import ViewerId, ViewerProfile

ENTRY_BYTES = 300  # per entry, beside key and value: two objects' headers and the dict's links, measured


class ViewerTable:
    """A map of viewers to serialised profiles. Those put or asked for least recently go first. For one thread."""

    def __init__(self, budget_bytes: int, decode: Callable[[bytes], ViewerProfile]) -> None:
        self._budget_bytes = budget_bytes
        self._decode = decode
        self._profiles: OrderedDict[ViewerId, bytes] = OrderedDict()
        self._held_bytes = 0
        self.evicted = 0  # profiles dropped so far; while 0, a viewer who is not here has no profile

    def __len__(self) -> int:
        return len(self._profiles)

    @property
    def held_bytes(self) -> int:
        """Memory of the profiles in bytes, estimated."""
        return self._held_bytes

    def put(self, viewer: ViewerId, value: bytes) -> int:
        """Stores a profile; returns how many others had to go for it."""
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
        """Whether a viewer who is not here may have a profile all the same. From any thread, without the lock."""
        return self.evicted > 0 and viewer not in self._profiles

    def drop(self, viewer: ViewerId) -> None:
        """Forgets a viewer, if known."""
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
        """Decodes a profile. Raises RecordError."""
        return self._decode(value)


def _size(viewer: ViewerId, value: bytes) -> int:
    return len(viewer) + len(value) + ENTRY_BYTES
