"""Rooms, items and an API in memory for tests of the console. No test is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from msgspec import UNSET

from actors.recommend.schema import Answer, Item, Query, Receipt, Room
from deploy.console.api import Api
from deploy.console.poller import Needs, Snapshot
from deploy.http.client import NotUp
from deploy.http.prometheus_text import parse
from deploy.http.status import Readiness, SystemStatus
from streaming.errors import UnknownRoom
from streaming.events import ChatMessage

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


@dataclass
class MemoryApi:
    """Answers from what it holds. down: why nothing is answered, "" where it is. on_ask: called at each request."""

    rooms_live: list[Room] = field(default_factory=lambda: [room()])
    lists: dict[str, Sequence[str]] = field(default_factory=dict)
    written: list[ChatMessage] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    down: str = ""
    refusal: str = ""
    on_ask: Callable[[str], None] = lambda _what: None

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        self.on_ask(what)
        if self.down:
            raise NotUp(self.down)

    async def rooms(self) -> list[Room]:
        self._ask("rooms")
        return self.rooms_live

    async def room(self, name: str) -> Room:
        self._ask("room")
        for one in self.rooms_live:
            if one.room == name:
                return one
        raise UnknownRoom(f"room {name} is not live")

    async def recommend(self, query: Query) -> Answer:
        self._ask(f"list {query.viewer}")
        return answer(query.viewer, *self.lists.get(query.viewer, ()))

    async def readiness(self) -> Readiness:
        self._ask("readiness")
        return Readiness(ready=True, reason="", lag={}, contact_age_s=0.1, live_rooms=1)

    async def status(self) -> SystemStatus:
        self._ask("status")
        return SystemStatus(at_ms=AT_MS, processes=[])

    async def metrics(self) -> Any:
        self._ask("metrics")
        return parse("")

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
