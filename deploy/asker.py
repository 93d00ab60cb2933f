"""Owns the demo's questions to the HTTP API: asks as viewers would and has answers checked. Never shows anything."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from actors.answer import Answer, Query
from deploy.exposition import Exposition, parse
from deploy.promises import Promises
from streaming.clock import Clock

TIMEOUT_S = 5.0
T = TypeVar("T")


class RequestFailed(Exception):
    """A request that got no good answer; the message says which."""


class Api:
    """A kept-alive connection to the HTTP API. For one thread."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._connection: http.client.HTTPConnection | None = None

    def recommend(self, viewer: str, limit: int) -> Answer:
        """Raises RequestFailed."""
        body = msgspec.json.encode(Query(viewer=viewer, limit=limit))
        return _decoded(self._request("POST", "/v1/recommend", body), Answer)

    def metrics(self) -> Exposition:
        """Raises RequestFailed."""
        return parse(self._request("GET", "/metrics", b"").decode())

    def get(self, path: str, kind: type[T]) -> T:
        """Raises RequestFailed."""
        return _decoded(self._request("GET", path, b""), kind)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(self, method: str, path: str, body: bytes) -> bytes:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
            self._connection.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as err:
            self.close()
            raise RequestFailed(f"{method} {path}: {type(err).__name__}: {err}") from err
        if response.status != http.HTTPStatus.OK:
            raise RequestFailed(f"{method} {path}: {response.status} {answer[:200].decode(errors='replace')}")
        return answer


class Asker:
    """Asks for many viewers in turn at a steady rate, so that answers are checked all the time."""

    def __init__(self, api: Api, promises: Promises, viewers: Callable[[], Sequence[str]], clock: Clock) -> None:
        self._api = api
        self._promises = promises
        self._viewers = viewers
        self._clock = clock

    def run(self, stop: threading.Event, every_s: float, limit: int) -> None:
        """Asks every `every_s` until `stop`; a slow answer delays the next question."""
        turn = 0
        while not stop.wait(every_s):
            viewers = self._viewers()
            self.ask(viewers[turn % len(viewers)] if viewers else "nobody", limit)
            turn += 1
        self._api.close()

    def ask(self, viewer: str, limit: int) -> Answer | None:
        """One question, checked; None where it failed, which is noted."""
        began_ms = self._clock.now_ms()
        try:
            answer = self._api.recommend(viewer, limit)
        except RequestFailed as err:
            self._promises.check_error(str(err))
            return None
        self._promises.check_answer(answer, began_ms)
        return answer


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as err:
        raise RequestFailed(f"an answer is not {kind.__name__}: {err}; {body[:200]!r}") from err
