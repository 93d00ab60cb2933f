"""Rooms, items and an API in memory for tests of the console. No test is here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from msgspec import UNSET

from actors.answers.schema import MapPoint, RoomMap, SeenInterests, SeenViewer
from actors.answers.search import SearchAnswer
from actors.recommend.schema import Answer, Item, Query, Receipt, Room
from deploy.console.api import Api
from deploy.console.ask.steer_effect import Compared
from deploy.console.poller import Needs, Snapshot
from deploy.http.client import NotUp
from deploy.http.prometheus_text import parse
from deploy.http.routes.models import ListedVersions
from deploy.http.status import Readiness, SystemStatus
from streaming.errors import TidecastError, UnknownRoom, UnknownViewer
from streaming.events import ChatMessage, ViewerEvent
from tidecast_client import DeletedRule, PutRule, Rule, RuleBody

AT_MS = 1_700_000_000_000


def receipt(segment_end_ms: int = AT_MS, servable_ms: int = AT_MS + 300) -> Receipt:
    return Receipt(
        segment_end_ms=segment_end_ms, servable_ms=servable_ms, age_ms=2_500, encoder_version="e", model_version="v0"
    )


def room(name: str = "r1", chat: int = 30, **given: Any) -> Room:
    fields: dict[str, Any] = {
        "streamer": f"{name}-s",
        "title": f"title of {name}",
        "category": "Chess",
        "language": "en",
        "tags": (),
        "mature": False,
        "started_at_ms": AT_MS,
        "audience": 12,
        "receipt": receipt(),
    }
    return Room(room=name, chat_per_minute=chat, **(fields | given))


def item(name: str = "r1", score: float = 1.0, terms: dict[str, float] | None = None) -> Item:
    shown = {one: getattr(room(name), one) for one in Room.__struct_fields__}
    why = UNSET if terms is None else terms
    return Item(**shown, score=score, source="live", reason="live now", terms=why)


def answer(viewer: str, *rooms: str) -> Answer:
    return Answer(
        request_id="r",
        viewer=viewer,
        known=True,
        model_version="v0",
        generated_at_ms=AT_MS + 1_000,
        live_rooms=len(rooms),
        rooms=[item(name) for name in rooms],
    )


def point(room: str = "r1", x: float = 0.0, y: float = 0.0, **given: Any) -> MapPoint:
    fields: dict[str, Any] = {
        "streamer": f"{room}-s",
        "title": f"title of {room}",
        "category": "Chess",
        "language": "en",
        "mature": False,
        "audience": 12,
        "drift": 0.2,
        "code": None,
    }
    return MapPoint(room=room, x=x, y=y, **(fields | given))


def seen(viewer: str, total_events: int) -> SeenViewer:
    return SeenViewer(
        viewer=viewer,
        room=None,
        total_visits=1,
        repeats=0,
        total_events=total_events,
        first_at_ms=AT_MS,
        last_at_ms=AT_MS,
        generated_at_ms=AT_MS,
        model_version="v0",
        interests=SeenInterests(
            categories={}, languages={}, top_categories=[], similar_to=[], has_vector=False, last_streamer=""
        ),
        habits=[],
        visits=[],
    )


def rule(name: str, **given: Any) -> Rule:
    fields: dict[str, Any] = {
        "action": "boost",
        "rooms": ["r1"],
        "streamers": [],
        "categories": [],
        "languages": [],
        "tags": [],
        "weight": 1.0,
        "position": 1,
        "most": 1,
        "starts_at_ms": None,
        "ends_at_ms": None,
        "enabled": True,
        "reason": "",
        "put_at_ms": AT_MS,
        "origin": "put",
        "replaces_configured": False,
        "in_force": True,
        "live_rooms": 1,
    }
    return Rule(name=name, **(fields | given))


def drawn(*points: MapPoint, axes: str = "a") -> RoomMap:
    return RoomMap(at_ms=AT_MS, live_rooms=len(points), axes=axes, explained=0.3, rooms=list(points))


def found(text: str, *rooms: Room) -> SearchAnswer:
    return SearchAnswer(
        text=text,
        encoder_version="e",
        model_version="v0",
        generated_at_ms=AT_MS,
        live_rooms=len(rooms),
        rooms=[Item(**msgspec.structs.asdict(one), score=0.5, source="said", reason="said here") for one in rooms],
    )


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


@dataclass
class MemoryApi:
    """Answers from what it holds. down: why nothing is answered, "" where it is. on_ask: called at each request."""

    rooms_live: list[Room] = field(default_factory=lambda: [room()])
    lists: dict[str, Sequence[str]] = field(default_factory=dict)
    written: list[ChatMessage] = field(default_factory=list)
    done: list[ViewerEvent] = field(default_factory=list)
    ruled: dict[str, Rule] = field(default_factory=dict)
    bodies: list[RuleBody] = field(default_factory=list)  # of rules that were put
    events: dict[str, int] = field(default_factory=dict)  # how many of each viewer are known
    asked: Counter[str] = field(default_factory=Counter)
    down: str = ""
    refusal: str = ""
    encoder: asyncio.Event = field(default_factory=lambda: _set(asyncio.Event()))  # whether it reads texts
    refused: TidecastError | None = None  # what a search is answered with instead
    on_ask: Callable[[str], None] = lambda _what: None

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        self.on_ask(what)
        if self.down:
            raise NotUp(self.down)

    async def rooms(self) -> list[Room]:
        self._ask("rooms")
        return self.rooms_live

    async def room_map(self, axes: str) -> RoomMap:
        self._ask(f"map {axes}")
        return drawn(*(point(one.room) for one in self.rooms_live))

    async def room(self, name: str) -> Room:
        self._ask("room")
        for one in self.rooms_live:
            if one.room == name:
                return one
        raise UnknownRoom(f"room {name} is not live")

    async def recommend(self, query: Query) -> Answer:
        self._ask(f"list {query.viewer}" + (f" by {query.version}" if query.version else ""))
        return answer(query.viewer, *self.lists.get(query.viewer, ()))

    async def search(self, text: str) -> SearchAnswer:
        self._ask(f"search {text}")
        await self.encoder.wait()
        if self.refused is not None:
            raise self.refused
        return found(text, *self.rooms_live)

    async def compare(self, steered: Query) -> Compared:
        self._ask(f"compare {steered.viewer}")
        await self.encoder.wait()
        rooms = self.lists.get(steered.viewer, ())
        return Compared(answer(steered.viewer, *rooms), answer(steered.viewer, *reversed(rooms)))

    async def viewers(self) -> list[str]:
        self._ask("viewers")
        return list(self.lists)

    async def viewer(self, viewer: str) -> SeenViewer:
        self._ask(f"viewer {viewer}")
        if viewer not in self.events:
            raise UnknownViewer(f"viewer {viewer} has no profile")
        return seen(viewer, self.events[viewer])

    async def write_viewer_event(self, event: ViewerEvent) -> None:
        self._ask("write_event")
        self.done.append(event)

    async def rules(self) -> list[Rule]:
        self._ask("rules")
        return list(self.ruled.values())

    async def rule(self, name: str) -> Rule | None:
        self._ask(f"rule {name}")
        return self.ruled.get(name)

    async def put_rule(self, name: str, body: RuleBody) -> PutRule:
        self._ask(f"put {name}")
        self.bodies.append(body)
        return PutRule(name=name, put_at_ms=AT_MS)

    async def delete_rule(self, name: str) -> DeletedRule:
        self._ask(f"delete {name}")
        return DeletedRule(name=name, deleted_at_ms=AT_MS, restores_configured=False)

    async def readiness(self) -> Readiness:
        self._ask("readiness")
        return Readiness(ready=True, reason="", lag={}, contact_age_s=0.1, live_rooms=1)

    async def status(self) -> SystemStatus:
        self._ask("status")
        return SystemStatus(at_ms=AT_MS, processes=[])

    async def metrics(self) -> Any:
        self._ask("metrics")
        return parse("")

    async def versions(self) -> ListedVersions:
        self._ask("versions")
        return ListedVersions(answers="v0", versions=[])

    async def chat_refusal(self) -> str:
        self._ask("chat_refusal")
        return self.refusal

    async def write_chat(self, message: ChatMessage) -> None:
        self._ask("write_chat")
        self.written.append(message)


def as_api(memory: MemoryApi) -> Api:
    """The API in memory, where the real one is asked for: it has the same methods."""
    return cast(Api, memory)


@dataclass
class Tab:
    """A watcher that remembers what it was shown."""

    needs: Needs = field(default_factory=Needs)
    looks: bool = True
    gone: bool = False
    fails: bool = False
    shown: list[Snapshot] = field(default_factory=list)

    def show(self, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)
        if self.fails:
            raise ZeroDivisionError("a bug of one page")
