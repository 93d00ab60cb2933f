"""The limits of callers at the proxy in front. Imports only the standard library: the proxy's starter has no more."""

from __future__ import annotations

from typing import NamedTuple

SPARE_DESCRIPTORS = 500  # for checks, logs and reloads; a connection takes two, one to each side


class ProxyLimits(NamedTuple):
    """The limits of callers at the proxy."""

    max_connections: int = 16_384
    max_connections_per_source: int = 8_192
    request_timeout_s: float = 10.0
    max_body_bytes: int = 2_097_152

    def within(self, descriptors: int) -> ProxyLimits:
        """The limits scaled down to what a process with so many file descriptors can hold, in the same proportion."""
        held = max(100, min(self.max_connections, (descriptors - SPARE_DESCRIPTORS) // 2))
        return self._replace(
            max_connections=held,
            max_connections_per_source=max(1, self.max_connections_per_source * held // self.max_connections),
        )
