"""The HTTP client of a running system. Never starts one."""

from __future__ import annotations

import http.client
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from msgspec import UnsetType

from actors.answers.schema import KnownViewers, RoomMap, SeenViewer
from actors.recommend.schema import Answer, Item, Query, RankAnswer, RankQuery, Room
from deploy.http.problem import Problem
from deploy.http.routes.batch import BatchAnswer, BatchResult
from deploy.http.routes.models import ListedVersions, Promoted, RolledBack
from deploy.http.status import Readiness, SystemStatus
from streaming.errors import RequestError, TidecastError, UnknownRoom, UnknownViewer
from streaming.events import ChatMessage, ViewerEvent

T = TypeVar("T")


NOT_NOW = (408, 429, 502, 503, 504)  # the same request may be answered later


class NoAccess(TidecastError):
    """The caller's key is missing, unknown, or not allowed to do this."""


class _Description(msgspec.Struct, frozen=True):
    """The part of an OpenAPI document that is read here."""

    paths: dict[str, Any]


class NotUp(TidecastError):
    """The system does not answer, or not yet."""


class Client:
    """A client that keeps its connections open, and opens lost ones anew. For one thread."""

    def __init__(self, url: str, timeout_s: float = 5.0, *, admin_url: str = "", token: str = "") -> None:
        """url: for answers. admin_url: for state and metrics; "": the port after that of url, as by default.

        token: the caller's API key, "" where none is needed.
        """
        self._answers = _Door(url, timeout_s, "http.port", token)
        self._admin = _Door(admin_url or _next_port(url), timeout_s, "http.admin_port")

    def recommend(self, query: Query) -> Answer:
        """Rooms for a viewer. Raises NotUp, RequestError."""
        return self._answers.ask("POST", "/v1/recommend", Answer, msgspec.json.encode(query))

    def pages(self, query: Query) -> Iterator[Answer]:
        """Rooms for a viewer page by page, each of `limit`; no room comes twice. Raises NotUp, RequestError."""
        cursor: str | UnsetType | None = ""
        while isinstance(cursor, str):
            answer = self.recommend(msgspec.structs.replace(query, cursor=cursor))
            yield answer
            cursor = answer.cursor

    def recommend_batch(self, queries: Sequence[Query]) -> list[BatchResult]:
        """What came of each query, in order: an answer or a problem. Raises NotUp, RequestError."""
        body = msgspec.json.encode({"queries": queries})
        return self._answers.ask("POST", "/v1/recommend:batch", BatchAnswer, body).results

    def rank(self, query: RankQuery) -> RankAnswer:
        """Given rooms for a viewer, best first. Raises NotUp, RequestError."""
        return self._answers.ask("POST", "/v1/rank", RankAnswer, msgspec.json.encode(query))

    def rooms(self, **parameters: str | int) -> list[Room]:
        """Live rooms, largest audience first. Raises NotUp, RequestError."""
        return self._answers.ask("GET", f"/v1/rooms?{urlencode(parameters)}", list[Room])

    def trending(self, **parameters: str | int) -> list[Item]:
        """Live rooms that most viewers come to now. Raises NotUp, RequestError."""
        return self._answers.ask("GET", f"/v1/trending?{urlencode(parameters)}", list[Item])

    def room(self, room: str) -> Room:
        """One live room. Raises NotUp, UnknownRoom."""
        return self._answers.ask("GET", f"/v1/rooms/{quote(room, safe='')}", Room)

    def viewer(self, viewer: str) -> SeenViewer:
        """A viewer as the platform sees them. Raises NotUp, UnknownViewer."""
        return self._answers.ask("GET", f"/v1/viewers/{quote(viewer, safe='')}", SeenViewer)

    def room_map(self, **parameters: str | int) -> RoomMap:
        """Live rooms by content in two dimensions. Raises NotUp, RequestError."""
        return self._answers.ask("GET", f"/v1/map?{urlencode(parameters)}", RoomMap)

    def viewers(self, limit: int) -> KnownViewers:
        """Some known viewers, the latest first. Raises NotUp, NoAccess: this needs the scope admin."""
        return self._answers.ask("GET", f"/v1/viewers?limit={limit}", KnownViewers)

    def similar(self, room: str, limit: int) -> list[Item]:
        """Live rooms like a live room. Raises NotUp, UnknownRoom."""
        return self._answers.ask("GET", f"/v1/rooms/{quote(room, safe='')}/similar?limit={limit}", list[Item])

    def versions(self) -> ListedVersions:
        """Every version of the models. Raises NotUp, NoAccess: this needs the scope admin."""
        return self._answers.ask("GET", "/v1/models", ListedVersions)

    def promote(self, version: str) -> Promoted:
        """Puts a version live. Raises NotUp, NoAccess, RequestError."""
        return self._answers.ask("POST", f"/v1/models/{quote(version, safe='')}/promote", Promoted)

    def rollback(self) -> RolledBack:
        """Puts live what was live before. Raises NotUp, NoAccess, RequestError."""
        return self._answers.ask("POST", "/v1/models/rollback", RolledBack)

    def paths(self) -> frozenset[str]:
        """The paths that this installation's OpenAPI document describes. Raises NotUp."""
        return frozenset(self._answers.ask("GET", "/openapi.json", _Description).paths)

    def readiness(self) -> Readiness:
        """The readiness of whichever replica answers; not ready is an answer too. Raises NotUp."""
        return self._answers.ask("GET", "/readyz", Readiness, also=503)

    def status(self) -> SystemStatus:
        """The status of every process. Raises NotUp."""
        return self._admin.ask("GET", "/v1/status", SystemStatus)

    def metrics(self) -> str:
        """The metrics of all processes of the node that is asked, as Prometheus text. Raises NotUp."""
        status, answer = self._admin.send("GET", "/metrics", None)
        if status != http.client.OK:  # another program is at that port
            raise NotUp(f"{self._admin.url}/metrics answers {status}: {answer[:200].decode(errors='replace')}")
        return answer.decode()

    def write_chat(self, messages: Sequence[ChatMessage]) -> None:
        """Writes chat, where the installation takes it over HTTP. Raises NotUp, RequestError."""
        self._answers.ask("POST", "/v1/chat", Any, msgspec.json.encode(messages))

    def write_viewer_events(self, events: Sequence[ViewerEvent]) -> None:
        """Writes what viewers did, where the installation takes it over HTTP. Raises NotUp, RequestError."""
        self._answers.ask("POST", "/v1/viewer-events", Any, msgspec.json.encode(events))

    @property
    def admin_url(self) -> str:
        """The URL of state and metrics."""
        return self._admin.url

    def close(self) -> None:
        """Closes the connections."""
        self._answers.close()
        self._admin.close()


class _Door:
    """One of the two ports, and a connection to it."""

    def __init__(self, url: str, timeout_s: float, setting: str, token: str = "") -> None:
        self.url = url
        self._setting = setting
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)

    def ask(self, method: str, path: str, kind: type[T], body: bytes | None = None, also: int = 200) -> T:
        """The decoded answer of status 200 or `also`. Raises NotUp, UnknownRoom, UnknownViewer, RequestError."""
        status, answer = self.send(method, path, body)
        try:
            if status in (http.client.OK, also):
                return msgspec.json.decode(answer, type=kind)
            wrong = msgspec.json.decode(answer, type=Problem)
        except msgspec.DecodeError as err:  # another program than the application is at that port
            raise NotUp(f"{self.url}{path} answers {status}: {answer[:200].decode(errors='replace')}") from err
        if status in NOT_NOW:
            raise NotUp(wrong.detail)
        if status == http.client.NOT_FOUND:
            raise UnknownViewer(wrong.detail) if wrong.field == "viewer" else UnknownRoom(wrong.detail)
        if wrong.field == "authorization":
            raise NoAccess(f"{wrong.detail}. This command sends the key in http.token (TIDECAST_HTTP__TOKEN)")
        raise RequestError(wrong.detail, field=wrong.field or "", allowed=wrong.allowed or "")

    def send(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Status and body of the answer. Raises NotUp."""
        headers = {**self._headers, **({"content-type": "application/json"} if body else {})}
        for attempt in (1, 2):
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except (http.client.HTTPException, OSError) as err:
                self.close()
                # the first may have met a connection that the other side had closed meanwhile
                if attempt == 2 or isinstance(err, ConnectionRefusedError):
                    raise NotUp(
                        f"nothing answers at {self.url} ({err or type(err).__name__}). "
                        f"`tidecast up` starts the system; is {self._setting} the one that it was started with?"
                    ) from err
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Closes the connection; the next request opens it anew."""
        self._connection.close()


def _next_port(url: str) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"http://{host}:{(parts.port or 80) + 1}"
