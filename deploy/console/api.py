"""The console's one way to Tidecast: its HTTP API, asked from an event loop. Never keeps an answer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from actors.recommend.schema import MAX_LIMIT
from deploy.console.ask.steer_effect import Compared
from deploy.http.client import AsyncClient, NoAccess
from deploy.http.prometheus_text import Exposition, parse
from deploy.http.status import SystemStatus
from streaming.errors import RequestError, UnknownRoom
from streaming.events import ChatMessage, ViewerEvent
from tidecast_client import (
    Answer,
    Call,
    DeletedRule,
    Item,
    ListedVersions,
    Promoted,
    PutRule,
    Query,
    Readiness,
    RolledBack,
    Room,
    RoomMap,
    Rule,
    RuleBody,
    SearchAnswer,
    SeenViewer,
    Verdicts,
)

TIMEOUT_S = 3.0
CHAT_PATH = "/v1/chat"
EVENTS_PATH = "/v1/viewer-events"
MAP_PATH = "/v1/map"
MAPPED = 400  # rooms of the map: more would be one blot
VERSIONS_PATH = "/v1/models"
SEARCH_PATH = "/v1/search"
FOUND = 10  # rooms of a search
RULES_PATH = "/v1/rules"
NAMED = 50  # known viewers
NO_CHAT = f"it has no POST {CHAT_PATH}"


class Api:
    """Tidecast's HTTP API. Its methods wait without blocking the loop; each raises NotUp, as AsyncClient does."""

    def __init__(self, url: str, admin_url: str = "", token: str = "") -> None:
        """url: of the answers. admin_url: of metrics and state; "": the port after that of url. token: an API key."""
        self._client = AsyncClient(url, TIMEOUT_S, admin_url=admin_url, token=token)
        self.url = self._client.url
        self.admin_url = self._client.admin_url

    async def rooms(self) -> list[Room]:
        """Live rooms, largest audience first, mature ones too: as many as the API gives at once."""
        return await self._client.rooms(limit=MAX_LIMIT, mature="any")

    async def room_map(self, axes: str) -> RoomMap:
        """The largest live rooms by content, mature ones too. axes: of the map before, "" for none."""
        return await self._client.map_rooms(limit=MAPPED, mature="any", axes=axes)

    async def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""
        return await self._client.room(room)

    async def similar(self, room: str, limit: int) -> list[Item]:
        """Live rooms like a live room. Raises UnknownRoom."""
        return await self._client.similar_rooms(room, limit=limit)

    async def recommend(self, query: Query) -> Answer:
        """What a viewer would be shown. Raises RequestError."""
        return await self._client.ask(Call("POST", "/v1/recommend", Answer, body=msgspec.json.encode(query)))

    async def search(self, text: str) -> SearchAnswer:
        """Live rooms by a text, most like it first. Raises RequestError; NotUp also where the Encoder is too slow."""
        return await self._client.search(text, limit=FOUND)

    async def compare(self, steered: Query) -> Compared:
        """A viewer's list without its steer and with it, by one request. Raises RequestError."""
        queries = [msgspec.structs.replace(steered, steer=None), steered]
        answers = []
        for result in (await self._client.recommend_batch(queries)).results:
            if result.problem:
                raise RequestError(
                    result.problem.detail, field=result.problem.field or "", allowed=result.problem.allowed or ""
                )
            assert result.answer
            answers.append(result.answer)
        return Compared(*answers)

    async def viewers(self) -> list[str]:
        """Some viewers whom the system knows, the latest first. Raises NoAccess: the key has no scope admin."""
        return (await self._client.viewers(limit=NAMED)).viewers

    async def viewer(self, viewer: str) -> SeenViewer:
        """A viewer as the platform sees them. Raises UnknownViewer."""
        return await self._client.viewer(viewer)

    async def readiness(self) -> Readiness:
        """Whether a replica's answers are good."""
        return await self._client.readiness()

    async def versions(self) -> ListedVersions:
        """Every version of the models. Raises NoAccess."""
        return await self._client.models()

    async def promote(self, version: str) -> Promoted:
        """Puts a version live. Raises NoAccess, RequestError."""
        return await self._client.promote_model(version)

    async def rollback(self) -> RolledBack:
        """Puts live what was live before. Raises NoAccess, RequestError."""
        return await self._client.rollback_model()

    async def rules(self) -> list[Rule]:
        """Operators' rules, by name. Raises NoAccess: the key has no scope admin."""
        return await self._client.rules()

    async def rule(self, name: str) -> Rule | None:
        """One operator's rule; None where there is none of this name. Raises NoAccess."""
        try:
            return await self._client.rule(name)
        except UnknownRoom:  # so a 404 reads that is about no viewer
            return None

    async def put_rule(self, name: str, body: RuleBody) -> PutRule:
        """Puts a rule. Raises NoAccess, RequestError: what may stand there."""
        return await self._client.put_rule(name, **msgspec.structs.asdict(body))

    async def delete_rule(self, name: str) -> DeletedRule:
        """Ends a rule. Raises NoAccess, RequestError."""
        return await self._client.delete_rule(name)

    async def status(self) -> SystemStatus:
        """The state of every process."""
        return await self._client.status()

    async def metrics(self) -> Exposition:
        """The metrics of the node that is asked. Raises NotMetrics."""
        return parse(await self._client.metrics())

    async def write_chat(self, message: ChatMessage) -> None:
        """Writes a chat message. Raises RequestError: it was refused, and why."""
        await self._write(CHAT_PATH, message)

    async def write_viewer_event(self, event: ViewerEvent) -> None:
        """Writes what a viewer did. Raises RequestError: it was refused, and why."""
        await self._write(EVENTS_PATH, event)

    async def chat_refusal(self) -> str:
        """Why this installation takes no chat over HTTP; "" where it does. It is asked by writing nothing."""
        if CHAT_PATH not in await self._client.paths():
            return NO_CHAT
        try:
            await self._client.ask(Call("POST", CHAT_PATH, Verdicts, body=b"[]"))
        except (RequestError, NoAccess) as err:  # the console's key may not write
            return str(err)
        return ""

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _write(self, path: str, record: ChatMessage | ViewerEvent) -> None:
        (verdict,) = (await self._client.write(path, [record])).verdicts
        if verdict.problem:
            raise RequestError(verdict.problem.detail, field=verdict.problem.field, allowed=verdict.problem.allowed)


def as_curl(url: str, body: Any = None, method: str = "") -> str:
    """A request as a line for a shell. body: sent as JSON. method: "": a POST with a body, a GET without."""
    words: Sequence[str] = ["curl", "-s", *(["-X", method] if method else []), url]
    if body is not None:
        words = [*words, "-d", msgspec.json.encode(_without_defaults(body)).decode()]
    return shlex.join(words)


def search_url(url: str, text: str) -> str:
    """The address of a search, of the API at `url`."""
    return f"{url}{SEARCH_PATH}?{urlencode({'q': text, 'limit': FOUND})}"


def _without_defaults(value: Any) -> Any:
    """A request without what is so anyway: fields that have their default."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(type(value))
        said = {field.encode_name: (getattr(value, field.name), _default_of(field)) for field in fields}
        return {name: _without_defaults(one) for name, (one, default) in said.items() if one != default}
    return msgspec.to_builtins(value)


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
