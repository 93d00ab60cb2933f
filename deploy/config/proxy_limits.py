"""What callers may take of the proxy in front. Imports the standard library alone: the proxy's starter runs on that."""

from __future__ import annotations

from typing import NamedTuple

SPARE_DESCRIPTORS = 500  # for checks, logs, what a reload hands over; a connection takes two, one to each side


class ProxyLimits(NamedTuple):
    """What callers may take of the proxy."""

    max_connections: int = 16_384
    max_connections_per_source: int = 8_192
    request_timeout_s: float = 10.0
    max_body_bytes: int = 2_097_152

    def within(self, descriptors: int) -> ProxyLimits:
        """As much of it as a process with so many file descriptors can hold, in the same proportion."""
        held = max(100, min(self.max_connections, (descriptors - SPARE_DESCRIPTORS) // 2))
        return self._replace(
            max_connections=held,
            max_connections_per_source=max(1, self.max_connections_per_source * held // self.max_connections),
        )
