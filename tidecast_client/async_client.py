"""The client of one installation, for asyncio. Never starts one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from tidecast_client.async_methods import AsyncMethods
from tidecast_client.batch import Tally, calls, new_key
from tidecast_client.call import Call, answer_of
from tidecast_client.client import (
    TIMEOUT_S,
    before_stream,
    options_of,
    request_of,
    silence,
    unreachable,
    wait_before,
)
from tidecast_client.errors import ClientError
from tidecast_client.event_stream import Event, Reading
from tidecast_client.retries import Retries
from tidecast_client.types import Verdicts

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class AsyncClient(AsyncMethods):
    """Client, with methods to await. For one event loop; close it, or use it in an `async with`."""

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        env_proxies: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """As Client has them."""
        import httpx  # noqa: PLC0415  0.2 s, which a command's help and a module that only names types spare

        self.url = url.rstrip("/")
        self._retries = retries or Retries()
        self._sleep = sleep
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(**options_of(self.url, key, timeout_s, env_proxies), transport=transport)

    async def ask(self, call: Call[T]) -> T:
        """Sends a request and reads the answer; sends it again where that is safe, within the bounds of `retries`."""
        attempt = 0
        while True:
            try:
                return answer_of(call, *await self._send(call))
            except ClientError as err:
                attempt += 1
                wait_s = wait_before(self._retries, attempt, call, err)
                if wait_s is None:
                    raise
                await self._sleep(wait_s)

    async def write(self, path: str, records: Iterable[Any], key: str = "") -> Verdicts:
        """As Client.write."""
        tally, key = Tally(), key or new_key()
        for call in calls(path, records, key):
            try:
                tally.add(await self.ask(call))
            except ClientError as err:
                err.idempotency_key = key
                raise
        return tally.total()

    async def events(self, call: Call[Event]) -> AsyncIterator[Event]:
        """As Client.events."""
        import httpx  # noqa: PLC0415

        reading = Reading(call)
        while True:
            asked = reading.begin()
            try:
                async with self._http.stream(**request_of(asked), timeout=silence(self._timeout_s)) as response:
                    if response.status_code != 200:
                        answer_of(asked, response.status_code, response.headers, await response.aread())
                    async for line in response.aiter_lines():
                        if (event := reading.take(line)) is not None:
                            yield event
                wait_s = reading.again_s
            except httpx.HTTPError as err:
                later_s = before_stream(self._retries, reading, asked, failure := unreachable(self.url, asked, err))
                if later_s is None:
                    raise failure from err
                wait_s = later_s
            except ClientError as err:
                if (later_s := before_stream(self._retries, reading, asked, err)) is None:
                    raise
                wait_s = later_s
            await self._sleep(wait_s)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytes]:
        import httpx  # noqa: PLC0415

        try:
            response = await self._http.request(**request_of(call))
        except httpx.HTTPError as err:
            raise unreachable(self.url, call, err) from err
        return response.status_code, response.headers, response.content
