"""Owns asking a running system over HTTP. Never starts one."""

from __future__ import annotations

import http.client
import json
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from actors.answer import Answer, Query, Room
from deploy.problem import Problem
from deploy.status import Readiness, SystemStatus
from streaming.errors import RequestError, TidecastError, UnknownRoom

T = TypeVar("T")


class NotUp(TidecastError):
    """Nobody answers, or not yet."""


class Client:
    """One connection, kept open and opened anew where it was lost. For one thread."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._url = url
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)

    def recommend(self, query: Query) -> Answer:
        """Rooms for a viewer. Raises NotUp, RequestError."""
        return self._ask("POST", "/v1/recommend", Answer, msgspec.json.encode(query))

    def rooms(self, **parameters: str | int) -> list[Room]:
        """Live rooms, largest audience first. Raises NotUp, RequestError."""
        return self._ask("GET", f"/v1/rooms?{urlencode(parameters)}", list[Room])

    def room(self, room: str) -> Room:
        """One live room. Raises NotUp, UnknownRoom."""
        return self._ask("GET", f"/v1/rooms/{quote(room, safe='')}", Room)

    def readiness(self) -> Readiness:
        """Of whichever replica answers; not ready is an answer too. Raises NotUp."""
        return self._ask("GET", "/readyz", Readiness, also=503)

    def status(self) -> SystemStatus:
        """Every process. Raises NotUp."""
        return self._ask("GET", "/v1/status", SystemStatus)

    def metrics(self) -> str:
        """Prometheus text of the node of whichever replica answers. Raises NotUp."""
        status, answer = self._send("GET", "/metrics", None)
        if status != http.client.OK:  # Serve's own answer while there is no application
            raise NotUp(f"{self._url}/metrics answers {status}: {answer[:200].decode(errors='replace')}")
        return answer.decode()

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, kind: type[T], body: bytes | None = None, also: int = 200) -> T:
        status, answer = self._send(method, path, body)
        try:
            if status in (http.client.OK, also):
                return msgspec.json.decode(answer, type=kind)
            wrong = msgspec.json.decode(answer, type=Problem)
        except msgspec.DecodeError as err:
            # Serve's own answer while it has no replica to send a request to
            raise NotUp(f"{self._url}{path} answers {status}: {answer[:200].decode(errors='replace')}") from err
        if status == http.client.SERVICE_UNAVAILABLE:
            raise NotUp(wrong.detail)
        if status == http.client.NOT_FOUND:
            raise UnknownRoom(wrong.detail)
        raise RequestError(wrong.detail, field=wrong.field or "", allowed=wrong.allowed or "")

    def _send(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} if body else {}
        for attempt in (1, 2):
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (http.client.HTTPException, OSError) as err:
                self._connection.close()
                # The first may have met a connection that the other side had closed meanwhile.
                if attempt == 2 or isinstance(err, ConnectionRefusedError):
                    raise NotUp(
                        f"nothing answers at {self._url} ({err or type(err).__name__}). "
                        "`tidecast up` starts the system; is http.port the one that it was started with?"
                    ) from err
        raise AssertionError("unreachable")


def pretty(value: Any) -> str:
    """Any record as JSON for `--json`."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
