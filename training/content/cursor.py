"""A cursor over the bytes of a file. Knows no format."""

from __future__ import annotations

import struct
from typing import Any


class Cursor:
    """Reads one thing after the other. Raises ValueError where the bytes end too early."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def bytes(self, count: int) -> bytes:
        """The next so many bytes."""
        found = self.data[self.at : self.at + count]
        if len(found) != count:
            raise ValueError("it ends too early")
        self.at += count
        return found

    def numbers(self, kinds: str) -> tuple[Any, ...]:
        """The next numbers; kinds: as for `struct`."""
        return struct.unpack(kinds, self.bytes(struct.calcsize(kinds)))
