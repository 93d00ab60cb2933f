"""The id of a request: the caller's own from `X-Request-Id`, or another one. Never reads anything else of a request."""

from __future__ import annotations

import re
from collections.abc import Iterable

from actors.requests.request_ids import RequestIds

HEADER = b"x-request-id"
MAX_LENGTH = 64  # a UUID has 36, a trace id of AWS 35, a W3C traceparent 55
ALLOWED = "1 to 64 of the characters A-Z a-z 0-9 . _ ~ : = / + @ -"
_VALID = re.compile(rb"[A-Za-z0-9._~:=/+@-]{1,%d}" % MAX_LENGTH)  # safe in a log line, in JSON and in a header


class IdOfRequest:
    """Chooses the id of each request of an Api. For any thread."""

    def __init__(self) -> None:
        self._ids = RequestIds()

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The caller's id where it is valid (`ALLOWED`), else one that nobody else has: another one is ignored.

        headers: as ASGI has them. Of several the first counts.
        """
        for name, value in headers:
            if name == HEADER:
                if _VALID.fullmatch(value):
                    return value.decode("ascii")
                break
        return self._ids.next()
