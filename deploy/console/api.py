"""The console's one way to Tidecast: its HTTP API, asked from an event loop. Never keeps an answer."""

from __future__ import annotations

import asyncio
import shlex
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from actors.recommend.schema import MAX_LIMIT, Answer, Item, Query, Room
from deploy.http.client import Client, NoAccess
from deploy.http.prometheus_text import Exposition, parse
from deploy.http.status import Readiness, SystemStatus
from streaming.errors import RequestError
from streaming.events import ChatMessage

T = TypeVar("T")

THREADS = 4  # requests at once: the poller's, and those of people who click
TIMEOUT_S = 3.0
CHAT_PATH = "/v1/chat"
NO_CHAT = f"it has no POST {CHAT_PATH}"


class Api:
    """Tidecast's HTTP API. Its methods wait without blocking the loop; each raises NotUp, as Client does."""

    def __init__(self, url: str, admin_url: str = "", token: str = "") -> None:
        """url: of the answers. admin_url: of metrics and state; "": the port after that of url. token: an API key."""
        self._token = token
        self.url = url.rstrip("/")
        self.admin_url = (admin_url or Client(url).admin_url).rstrip("/")
        self._threads = ThreadPoolExecutor(THREADS, "api")
        self._own = threading.local()

    async def rooms(self) -> list[Room]:
        """Live rooms, largest audience first, mature ones too: as many as the API gives at once."""
        return await self._ask(lambda client: client.rooms(limit=MAX_LIMIT, mature="any"))

    async def room(self, room: str) -> Room:
        """One live room. Raises UnknownRoom."""
        return await self._ask(lambda client: client.room(room))

    async def similar(self, room: str, limit: int) -> list[Item]:
        """Live rooms like a live room. Raises UnknownRoom."""
        return await self._ask(lambda client: client.similar(room, limit))

    async def recommend(self, query: Query) -> Answer:
        """What a viewer would be shown. Raises RequestError."""
        return await self._ask(lambda client: client.recommend(query))

    async def readiness(self) -> Readiness:
        """Whether a replica's answers are good."""
        return await self._ask(lambda client: client.readiness())

    async def status(self) -> SystemStatus:
        """The state of every process."""
        return await self._ask(lambda client: client.status())

    async def metrics(self) -> Exposition:
        """The metrics of the node that is asked. Raises NotMetrics."""
        return await self._ask(lambda client: parse(client.metrics()))

    async def write_chat(self, message: ChatMessage) -> None:
        """Writes a chat message. Raises RequestError: it was refused, and why."""
        await self._ask(lambda client: client.write_chat([message]))

    async def chat_refusal(self) -> str:
        """Why this installation takes no chat over HTTP; "" where it does. It is asked by writing nothing."""

        def ask(client: Client) -> str:
            if CHAT_PATH not in client.paths():
                return NO_CHAT
            try:
                client.write_chat([])
            except (RequestError, NoAccess) as err:  # the console's key may not write
                return str(err)
            return ""

        return await self._ask(ask)

    def close(self) -> None:
        """Takes no further requests. Those under way end by themselves, in TIMEOUT_S at most."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, call: Callable[[Client], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(self._client()))

    def _client(self) -> Client:
        """This thread's client: a connection is for one thread."""
        if (client := getattr(self._own, "client", None)) is None:
            client = self._own.client = Client(self.url, TIMEOUT_S, admin_url=self.admin_url, token=self._token)
        return client


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
