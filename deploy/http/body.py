"""The reading of a request's body, with limits for its length, its time and its type. Never looks into it.

A body that breaks one is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any

from deploy.http.problem import RefusedError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

HELD_BYTES = 256 << 20  # all bodies on their way to one replica; two thousand usual ones are 1 MB
AGAIN_S = 1
# the last two are the defaults of curl and Python's urllib
JSON_TYPES = ("application/json", "text/json", "application/x-www-form-urlencoded", "application/octet-stream")
CLOSE = ((b"connection", b"close"),)  # the rest of the body is not read


class Bodies:
    """A reader of request bodies. For one event loop."""

    def __init__(self, max_bytes: int, timeout_s: float, held_bytes: int = HELD_BYTES) -> None:
        """timeout_s: from the end of the head to the end of the body."""
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._held_bytes = held_bytes
        self._held = 0

    async def read(self, receive: Receive) -> bytes:
        """The whole body. Raises RefusedError."""
        message = await self._next(receive, None)
        if not message.get("more_body"):
            return self._checked(message.get("body", b""))
        body = bytearray()
        deadline_s = asyncio.get_running_loop().time() + self._timeout_s
        try:
            while True:
                chunk = message.get("body", b"")
                self._held += len(chunk)
                body += chunk
                self._checked(body)
                if self._held > self._held_bytes:
                    raise RefusedError(
                        HTTPStatus.SERVICE_UNAVAILABLE,
                        "too many large bodies are on their way here; ask again in a second",
                        headers=((b"retry-after", str(AGAIN_S).encode()), *CLOSE),
                    )
                if not message.get("more_body"):
                    return bytes(body)
                message = await self._next(receive, deadline_s)
        finally:
            self._held -= len(body)

    def check_headers(
        self, headers: Iterable[tuple[bytes, bytes]], encodings: Sequence[str] = (), types: Sequence[str] = ()
    ) -> None:
        """Checks the length and type that the headers announce. Raises RefusedError.

        encodings, types: that the route takes, beside a body of JSON as it is.
        """
        for name, value in headers:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > self._max_bytes:
                raise self._too_large()
            if name == b"content-encoding" and encoding_of(value) not in ("", *encodings):
                raise RefusedError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"the body is compressed ({_shown(value)}), which is not taken here",
                    field="content-encoding",
                    allowed=", ".join(("identity", *encodings)),
                    headers=((b"accept-encoding", ", ".join(encodings or ("identity",)).encode()), *CLOSE),
                )
            if name == b"content-type" and (why := _why_not_taken(value, types)):
                raise RefusedError(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"the body is {why}",
                    field="content-type",
                    allowed=f"{' or '.join(('application/json', *types))} in UTF-8",
                    headers=((b"accept", ", ".join(("application/json", *types)).encode()), *CLOSE),
                )

    async def _next(self, receive: Receive, deadline_s: float | None) -> MutableMapping[str, Any]:
        try:
            if deadline_s is None:  # the first message: nearly always the whole body, and there already
                async with asyncio.timeout(self._timeout_s):
                    message = await receive()
            else:
                async with asyncio.timeout_at(deadline_s):
                    message = await receive()
        except TimeoutError as err:
            detail = f"the body did not arrive within {self._timeout_s:g} s"
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, detail, headers=CLOSE) from err
        if message["type"] == "http.disconnect":
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the caller left before the body's end", headers=CLOSE)
        return message

    def _checked(self, body: Any) -> bytes:
        if len(body) > self._max_bytes:
            raise self._too_large()
        return body  # type: ignore[no-any-return]

    def _too_large(self) -> RefusedError:
        allowed = f"at most {self._max_bytes} bytes"
        return RefusedError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large", field="", allowed=allowed, headers=CLOSE
        )


def encoding_of(value: bytes) -> str:
    """The encoding that a Content-Encoding names, "" for a body as it is."""
    name = value.decode("latin-1").strip().lower()
    return "" if name == "identity" else name


def _why_not_taken(content_type: bytes, types: Sequence[str]) -> str:
    """The type that a Content-Type names, "" where that may be JSON in UTF-8, or is one of `types`."""
    kind, *parameters = (part.strip() for part in content_type.decode("latin-1").lower().split(";"))
    if kind and kind not in (*JSON_TYPES, *types) and not (kind.startswith("application/") and kind.endswith("+json")):
        return f"of type {_shown(content_type)}"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
            return f"in {value[:40]}"
    return ""


def _shown(value: bytes) -> str:
    return value.decode("latin-1")[:80]
