"""The console's one way to Tidecast: its HTTP API, asked from an event loop. Never keeps an answer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import msgspec

from actors.recommend.schema import MAX_LIMIT
from deploy.http.client import AsyncClient, NoAccess
from deploy.http.prometheus_text import Exposition, parse
from deploy.http.status import SystemStatus
from streaming.errors import RequestError
from streaming.events import ChatMessage
from tidecast_client import Answer, Call, Item, Query, Readiness, Room, Verdicts

TIMEOUT_S = 3.0
CHAT_PATH = "/v1/chat"
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

    async def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""
        return await self._client.room(room)

    async def similar(self, room: str, limit: int) -> list[Item]:
        """Live rooms like a live room. Raises UnknownRoom."""
        return await self._client.similar_rooms(room, limit=limit)

    async def recommend(self, query: Query) -> Answer:
        """What a viewer would be shown. Raises RequestError."""
        return await self._client.ask(Call("POST", "/v1/recommend", Answer, body=msgspec.json.encode(query)))

    async def readiness(self) -> Readiness:
        """Whether a replica's answers are good."""
        return await self._client.readiness()

    async def status(self) -> SystemStatus:
        """The state of every process."""
        return await self._client.status()

    async def metrics(self) -> Exposition:
        """The metrics of the node that is asked. Raises NotMetrics."""
        return parse(await self._client.metrics())

    async def write_chat(self, message: ChatMessage) -> None:
        """Writes a chat message. Raises RequestError: it was refused, and why."""
        (verdict,) = (await self._client.write(CHAT_PATH, [message])).verdicts
        if verdict.problem:
            raise RequestError(verdict.problem.detail, field=verdict.problem.field, allowed=verdict.problem.allowed)

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


def as_curl(url: str, body: Any = None) -> str:
    """A request as a line for a shell. body: sent as JSON by POST; None: a GET."""
    words: Sequence[str] = ["curl", "-s", url]
    if body is not None:
        words = [*words, "-d", msgspec.json.encode(_without_defaults(body)).decode()]
    return shlex.join(words)


def _without_defaults(value: Any) -> Any:
    """A request without what is so anyway: fields that have their default."""
    if isinstance(value, msgspec.Struct):
        fields = msgspec.structs.fields(type(value))
        said = {field.encode_name: (getattr(value, field.name), _default_of(field)) for field in fields}
        return {name: _without_defaults(one) for name, (one, default) in said.items() if one != default}
    return msgspec.to_builtins(value)


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
