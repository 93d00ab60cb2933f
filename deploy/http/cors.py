"""Which other web pages' scripts may read answers (CORS). Never decides what a caller may do: that is its key's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_AGE_S = 600
ALLOWED_HEADERS = (
    b"authorization, content-type, content-encoding, idempotency-key, last-event-id, x-api-key, x-request-id"
)
EXPOSED_HEADERS = b"retry-after, x-request-id"
ANY = "*"

Headers = tuple[tuple[bytes, bytes], ...]


class Cors:
    """The answers' headers for the origins that are allowed."""

    def __init__(self, origins: Sequence[str]) -> None:
        """origins: such as https://example.org, or "*" for any."""
        self._any = ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def headers(self, asked: Iterable[tuple[bytes, bytes]]) -> Headers:
        """The headers to be added to the answer of a request with these headers; none where no page asks."""
        given = {name: value for name, value in asked if name in (b"origin", b"access-control-request-method")}
        origin = given.get(b"origin")
        if origin is None or not (self._any or origin in self._origins):
            return () if self._any else ((b"vary", b"origin"),)
        allowed = ((b"access-control-allow-origin", b"*" if self._any else origin), (b"vary", b"origin"))
        if b"access-control-request-method" not in given:
            return (*allowed, (b"access-control-expose-headers", EXPOSED_HEADERS))
        return (
            *allowed,
            (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS"),
            (b"access-control-allow-headers", ALLOWED_HEADERS),
            (b"access-control-max-age", str(MAX_AGE_S).encode()),
        )
