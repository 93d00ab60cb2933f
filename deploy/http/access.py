"""Whether a caller may do what it asks: its key, the key's scope, the key's rate. Never reads a body."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus

from deploy.http.keys import ApiKey, KeyRing
from deploy.http.problem import RefusedError
from streaming.metrics import Metrics

BEARER = b"bearer "
LONGEST = 512
CHALLENGE = ((b"www-authenticate", b'Bearer realm="tidecast"'),)
AGAIN = ((b"retry-after", b"1"),)
HOW = "a key in the header `Authorization: Bearer KEY`, or `X-API-Key: KEY`; `tidecast keys create` makes one"


class Access:
    """The check of every request below /v1/. For one event loop."""

    def __init__(
        self,
        keys: KeyRing | None,
        metrics: Metrics,
        *,
        open_to: Collection[str] = ("recommend",),
        share: float = 1.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """keys: None where nobody needs one. open_to: the scopes that everybody may use then.

        share: of a key's requests per second, for this replica.
        """
        self._open_to = open_to
        self._keys = keys
        self._metrics = metrics
        self._share = share
        self._now_s = now_s
        self._buckets: dict[str, _Bucket] = {}

    @property
    def asks_for_keys(self) -> bool:
        """Whether callers need a key."""
        return self._keys is not None

    def require(self, headers: Iterable[tuple[bytes, bytes]], scope: str) -> str:
        """Checks that a caller may use this scope; returns the name of its key, "" for none. Raises RefusedError."""
        if self._keys is None:
            if scope not in self._open_to:
                raise self._refused(
                    HTTPStatus.FORBIDDEN,
                    f"nobody may {scope} here: this installation answers everybody (http.open) and has no keys",
                    "an installation with http.keys_file",
                    reason="no_keys",
                )
            return ""
        given = _key_in(headers)
        if not given:
            raise self._refused(HTTPStatus.UNAUTHORIZED, "no key was given", HOW, CHALLENGE, reason="no_key")
        key = self._keys.find(given)
        if key is None:
            raise self._refused(HTTPStatus.UNAUTHORIZED, "this key is not known", HOW, CHALLENGE, reason="unknown_key")
        if scope not in key.scopes:
            said = f"the key {key.name!r} may {', '.join(sorted(key.scopes))}, and this needs {scope}"
            raise self._refused(HTTPStatus.FORBIDDEN, said, f"a key with the scope {scope}", reason="scope")
        if key.requests_per_s and not self._bucket(key).takes(self._now_s()):
            said = f"the key {key.name!r} has more than {key.requests_per_s:g} requests a second"
            raise self._refused(HTTPStatus.TOO_MANY_REQUESTS, said, "fewer", AGAIN, reason="rate")
        return key.name

    def _bucket(self, key: ApiKey) -> _Bucket:
        rate = key.requests_per_s * self._share
        bucket = self._buckets.get(key.name)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[key.name] = _Bucket(rate, self._now_s())
        return bucket

    def _refused(
        self,
        status: HTTPStatus,
        detail: str,
        allowed: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        *,
        reason: str,
    ) -> RefusedError:
        self._metrics.count("requests_without_access_total", reason=reason)
        return RefusedError(status, detail, field="authorization", allowed=allowed, headers=headers)


class _Bucket:
    """A token bucket of one second."""

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self._most = max(1.0, rate)
        self._left = self._most
        self._at_s = now_s

    def takes(self, now_s: float) -> bool:
        """Takes one token; whether there was one."""
        self._left = min(self._most, self._left + max(0.0, now_s - self._at_s) * self.rate)
        self._at_s = now_s
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def _key_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The key in a request's headers, "" for none."""
    for name, value in headers:
        if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            return value[len(BEARER) : LONGEST].strip().decode("latin-1")
        if name == b"x-api-key":
            return value[:LONGEST].strip().decode("latin-1")
    return ""
