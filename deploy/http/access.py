"""Whether a caller may do what it asks: its key, the key's scope, the key's rate. Never reads a body."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from deploy.config.http_settings import is_loopback
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


def require_own_page(headers: Iterable[tuple[bytes, bytes]], *, local_only: bool) -> None:
    """Raises RefusedError where a web page of elsewhere would write with the help of whoever looks at it.

    Its browser says from where the page comes, and under which name it has found this machine. Only needed where
    callers have no keys. local_only: whether only requests for a name of this machine alone are heard.
    """
    given = {name: value.decode("latin-1") for name, value in headers if name in (b"origin", b"host")}
    origin, host = given.get(b"origin", ""), given.get(b"host", "")
    if origin and origin.partition("://")[2] != host:
        detail = f"a page of {origin[:80]} may not write here"
        raise RefusedError(HTTPStatus.FORBIDDEN, detail, field="origin", allowed=host)
    if host and local_only and not is_loopback(_name_of(host)):
        detail = f"the request is for {host[:80]}, which is not a name of this machine alone"
        raise RefusedError(HTTPStatus.FORBIDDEN, detail, field="host", allowed="localhost, 127.0.0.1 or [::1]")


def _name_of(host: str) -> str:
    """The name or address in a Host header, "" where it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
