"""An Api with answers that remember what they were asked, and a caller that speaks ASGI to it. No test is here."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from actors.answers.schema import KnownViewers, RoomMap, SeenViewer
from actors.answers.search import Asked, SearchAnswer
from actors.intake.intake import TAKEN, Intake
from actors.recommend.schema import Answer, Item, Query, RankQuery, Room
from actors.requests.filters import NO_FILTERS, Filters, Mature
from actors.requests.text_vectors import TextVector
from actors.settings import IntakeConfig
from actors.streams.table_changes import Taken
from deploy.config.stream_settings import StreamConfig
from deploy.http.access import Access
from deploy.http.api import Api
from deploy.http.route import Route
from deploy.http.routes.erasure import Erasures, erasure_routes
from deploy.http.routes.intake import intake_routes
from deploy.http.routes.models import ListedVersion, ListedVersions, Promoted, RolledBack, model_routes
from deploy.http.routes.public import Behind, routes
from deploy.http.status import Readiness
from deploy.http.streams.streams import Streams
from streaming.clock import ManualClock
from streaming.errors import EncoderAway, LogUnavailable, RequestError, UnknownRoom, UnknownViewer, VersionError
from streaming.log.log import Log
from streaming.log.memory_log import MemoryLog
from streaming.metrics import MemoryMetrics

JSON = {"content-type": "application/json"}
READY = Readiness(ready=True, reason="", lag={"room-states": 0}, contact_age_s=0.1, live_rooms=3)
BEHIND = Readiness(ready=False, reason="still reading", lag={"room-states": 900}, contact_age_s=0.1, live_rooms=3)


def packed(body: bytes) -> bytes:
    """A body compressed with gzip, the same at any time: it names a test's case."""
    return gzip.compress(body, mtime=0)


@dataclass
class FakeAnswers:
    """Remembers what it was asked."""

    asked: list[Any] = field(default_factory=list)

    def recommend_json(self, query: Query, request_id: str = "") -> bytes:
        self.asked.append(query)
        if query.viewer == "breaks":
            raise ZeroDivisionError("a bug")
        answer = Answer(
            request_id=request_id,
            viewer=query.viewer,
            known=False,
            model_version="v0",
            generated_at_ms=1,
            live_rooms=0,
            rooms=[],
        )
        return msgspec.json.encode(answer)

    def rooms(self, limit: int, filters: Filters = NO_FILTERS, exclude_streamers: Sequence[str] = ()) -> list[Room]:
        self.asked.append((limit, filters, *exclude_streamers))
        return []

    def room(self, room: str) -> Room:
        self.asked.append(room)
        raise UnknownRoom(f"room {room} is not live")

    def similar(
        self, room: str, limit: int, filters: Filters = NO_FILTERS, exclude_streamers: Sequence[str] = ()
    ) -> list[Item]:
        self.asked.append((room, limit, filters, *exclude_streamers))
        return []


@dataclass
class FakeRankings:
    """Remembers what it was asked."""

    asked: list[Any]

    def rank_json(self, query: RankQuery, request_id: str = "") -> bytes:
        self.asked.append(query)
        return b'{"request_id":"%b","rooms":[]}' % request_id.encode()


@dataclass
class FakeTrends:
    """Remembers what it was asked."""

    asked: list[Any]

    def rooms(self, limit: int, filters: Filters, exclude_streamers: Sequence[str]) -> list[Item]:
        self.asked.append(("trending", limit, filters, *exclude_streamers))
        return []


@dataclass
class FakeViewers:
    """Remembers whom it was asked for, and knows nobody."""

    asked: list[Any]

    def viewer(self, viewer: str) -> SeenViewer:
        self.asked.append(viewer)
        raise UnknownViewer(f"viewer {viewer} has no profile")

    def latest(self, limit: int) -> KnownViewers:
        self.asked.append(("viewers", limit))
        return KnownViewers(held=2, viewers=["v2", "v1"][:limit])


@dataclass
class FakeMaps:
    """Remembers what it was asked."""

    asked: list[Any]

    def draw(self, limit: int, mature: Mature | None, axes: str) -> RoomMap:
        self.asked.append(("map", limit, mature, axes))
        return RoomMap(at_ms=1, live_rooms=0, axes=axes, explained=0.0, rooms=[])


@dataclass
class FakeVersions:
    """Two versions, of which m1 can go live. away: Kafka is."""

    asked: list[Any]
    away: bool = False

    def listed(self) -> ListedVersions:
        known = [ListedVersion(version="m1", state="candidate", at_ms=1, metrics={"gain": 0.1})]
        return ListedVersions(answers="v0", versions=known)

    def promote(self, version: str) -> Promoted:
        if self.away:
            raise LogUnavailable("no broker answers")
        if version != "m1":
            raise VersionError(f"no version {version!r} was published; known are: m1")
        self.asked.append(("promote", version))
        return Promoted(version=version, reason="put live by hand")

    def rollback(self) -> RolledBack:
        self.asked.append("rollback")
        return RolledBack(was="m1", live="v0")


@dataclass
class FakeSearches:
    """Remembers what it was asked."""

    asked: list[Any]

    def found(self, asked: Asked, vector: TextVector) -> SearchAnswer:
        self.asked.append(asked)
        return SearchAnswer(
            text=asked.text,
            encoder_version=vector.encoder_version,
            model_version="v0",
            generated_at_ms=1,
            live_rooms=0,
            rooms=[],
        )


@dataclass
class FakeTexts:
    """Knows no text at first; the Encoder is away for texts that begin with "away"."""

    known: dict[str, TextVector] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def held(self, text: str) -> TextVector | None:
        return self.known.get(text)

    async def fetch(self, text: str) -> TextVector:
        self.fetched.append(text)
        await asyncio.sleep(0)
        if text.startswith("away"):
            raise EncoderAway("the Encoder has not answered in time; ask again in a second")
        self.known[text] = TextVector(np.ones(1, np.float32), "fake")
        return self.known[text]


@dataclass
class FakeLookup:
    """Wants every viewer whose name begins with "gone"; notes who was fetched, and what had been answered by then."""

    answers: FakeAnswers | None = None
    fetched: list[tuple[str, int]] = field(default_factory=list)

    def wanted(self, viewer: str) -> bool:
        return viewer.startswith("gone")

    async def fetch(self, viewer: str) -> None:
        await asyncio.sleep(0)
        assert self.answers is not None
        self.fetched.append((viewer, len(self.answers.asked)))


@dataclass
class NoChanges:
    """Tables in which nothing changes."""

    def watch(self, viewers: Any, rooms: Any, wake: Any) -> None:
        """Notes nothing."""

    def leave(self) -> None:
        """Ends nothing."""

    def take(self) -> Taken:
        return Taken()

    def take_any(self) -> bool:
        return False


@dataclass
class FakeLists:
    """Remembers what it was asked; no list has a room."""

    asked: list[Any]

    def check(self, query: Query) -> None:
        if isinstance(query.goals, str):
            raise RequestError(f"no goals {query.goals!r}", field="goals", allowed="none")

    def recommend_news(self, query: Query, further: int, is_news: Callable[[Any], bool]) -> bytes | None:
        self.asked.append((query, further))
        return b"{}" if is_news(np.zeros(0, np.uint64)) else None


def behind(
    answers: FakeAnswers,
    lookup: FakeLookup | None = None,
    writing: Sequence[Route] = (),
    texts: FakeTexts | None = None,
) -> Behind:
    """What routes call, of which all remembers what it was asked in one list. A stream ends after 50 ms."""
    asked = answers.asked
    return Behind(
        answers,
        FakeRankings(asked),
        FakeTrends(asked),
        FakeViewers(asked),
        FakeMaps(asked),
        FakeSearches(asked),
        texts or FakeTexts(),
        lookup,
        writing,
        Streams(FakeLists(asked), NoChanges(), StreamConfig(max_s=0.05, most=1), MemoryMetrics()),
    )


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Speaks ASGI to an Api as a server would."""

    def __init__(
        self,
        readiness: Readiness = READY,
        *,
        has_read: bool = True,
        lookup: FakeLookup | None = None,
        max_body_bytes: int = 2_000,
        access: Access | None = None,
        cors_origins: Sequence[str] = (),
        log: Log | None = None,
        intake: IntakeConfig | None = None,
        host: str = "127.0.0.1",
        erasures: Erasures | None = None,
        also: Sequence[Route] = (),
    ) -> None:
        """log: where records go that are posted. host: http.host. also: further routes."""
        self.answers = FakeAnswers()
        self.texts = FakeTexts()
        self.metrics = MemoryMetrics()
        with_keys = access is not None and access.asks_for_keys
        self.clock = ManualClock()
        config = intake or IntakeConfig()
        self.log = log or MemoryLog(self.clock, dict.fromkeys(TAKEN, 2))
        self.intake = Intake(self.log, config, self.clock, self.metrics)
        self.versions = FakeVersions(self.answers.asked)
        writing = [
            *intake_routes(self.intake, config, host, with_keys=with_keys),
            *erasure_routes(erasures),
            *model_routes(self.versions, local_only=True),
            *also,
        ]
        table = routes(behind(self.answers, lookup, writing, self.texts), lambda: readiness, with_keys=with_keys)
        self._api = Api(
            table,
            max_body_bytes,
            self.metrics,
            lambda: has_read,
            request_timeout_s=0.05,
            access=access,
            cors_origins=cors_origins,
        )

    def __call__(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        ends: str = "yes",
    ) -> Got:
        """ends: whether the body does; "never", and "disconnect" for a caller who leaves before its end.

        "stays": it does, and the caller does not leave; after "yes" the caller is gone once all was received.
        """
        return asyncio.run(self._call(method, target, body, headers or {}, ends))

    async def _call(self, method: str, target: str, body: bytes, given: Mapping[str, str], ends: str) -> Got:
        raw, _, query = target.partition("?")
        chunks = [body[:700], body[700:]]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not chunks:
                if ends in ("never", "stays"):
                    await asyncio.Event().wait()
                return {"type": "http.disconnect"}
            chunk = chunks.pop(0)
            more = bool(chunks) or ends not in ("yes", "stays")
            return {"type": "http.request", "body": chunk, "more_body": more}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": raw.replace("%2F", "/").replace("%20", " "),
            "raw_path": raw.encode(),
            "query_string": query.encode("latin-1"),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        await self._api(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Got(sent[0]["status"], headers, b"".join(one["body"] for one in sent[1:]))
