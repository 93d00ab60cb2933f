"""The client of commands: tidecast_client, with errors in the words of our settings. Never starts a system."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

import tidecast_client
from deploy.http.status import SystemStatus
from streaming.errors import RequestError, TidecastError, UnknownRoom, UnknownViewer
from tidecast_client import Call, Retries

T = TypeVar("T")

TIMEOUT_S = 5.0
# of a person or a loop that asks again by itself: once more, as a connection may have been closed meanwhile
ONCE_MORE = Retries(most=1, longest_s=0.0)
OPTIONS: Mapping[str, Any] = {"retries": ONCE_MORE, "env_proxies": False}  # a system of one's own is behind no proxy
STATUS, METRICS, DOCUMENT = "/v1/status", "/metrics", "/openapi.json"


class NoAccess(TidecastError):
    """The caller's key is missing, unknown, or not allowed to do this."""


class NotUp(TidecastError):
    """The system does not answer, or not yet."""


class _Description(msgspec.Struct, frozen=True):
    """The part of an OpenAPI document that is read here."""

    paths: dict[str, Any]


class Client(tidecast_client.Client):
    """The client of both ports of a system. Its methods raise NotUp, NoAccess, RequestError, and what they say."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S, *, admin_url: str = "", token: str = "") -> None:
        """url: for answers. admin_url: for state and metrics; "": the port after that of url, as by default.

        token: the caller's API key, "" where none is needed.
        """
        super().__init__(url, key=token, **OPTIONS, timeout_s=timeout_s)
        self.admin_url = (admin_url or next_port(url)).rstrip("/")
        self._admin = tidecast_client.Client(self.admin_url, **OPTIONS, timeout_s=timeout_s)

    def ask(self, call: Call[T]) -> T:
        """As tidecast_client has it. Raises NotUp, NoAccess, RequestError, UnknownRoom, UnknownViewer."""
        with in_our_words(self.url, "http.port"):
            return super().ask(call)

    def paths(self) -> frozenset[str]:
        """The paths that this installation's OpenAPI document describes."""
        return frozenset(self.ask(Call("GET", DOCUMENT, _Description)).paths)

    def status(self) -> SystemStatus:
        """The status of every process."""
        with in_our_words(self.admin_url, "http.admin_port"):
            return self._admin.ask(Call("GET", STATUS, SystemStatus))

    def metrics(self) -> str:
        """The metrics of all processes of the node that is asked, as Prometheus text."""
        with in_our_words(self.admin_url, "http.admin_port"):
            return self._admin.ask(Call("GET", METRICS, str))

    def close(self) -> None:
        """Closes the connections."""
        super().close()
        self._admin.close()


class AsyncClient(tidecast_client.AsyncClient):
    """Client, for an event loop."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S, *, admin_url: str = "", token: str = "") -> None:
        """As Client has them."""
        super().__init__(url, key=token, **OPTIONS, timeout_s=timeout_s)
        self.admin_url = (admin_url or next_port(url)).rstrip("/")
        self._admin = tidecast_client.AsyncClient(self.admin_url, **OPTIONS, timeout_s=timeout_s)

    async def ask(self, call: Call[T]) -> T:
        """As Client.ask."""
        with in_our_words(self.url, "http.port"):
            return await super().ask(call)

    async def paths(self) -> frozenset[str]:
        """As Client.paths."""
        return frozenset((await self.ask(Call("GET", DOCUMENT, _Description))).paths)

    async def status(self) -> SystemStatus:
        """The status of every process."""
        with in_our_words(self.admin_url, "http.admin_port"):
            return await self._admin.ask(Call("GET", STATUS, SystemStatus))

    async def metrics(self) -> str:
        """As Client.metrics."""
        with in_our_words(self.admin_url, "http.admin_port"):
            return await self._admin.ask(Call("GET", METRICS, str))

    async def aclose(self) -> None:
        """Closes the connections."""
        await super().aclose()
        await self._admin.aclose()


@contextlib.contextmanager
def in_our_words(url: str, setting: str) -> Iterator[None]:
    """Raises the client's errors as Tidecast's. setting: that of the port of the URL."""
    try:
        yield
    except tidecast_client.NotReachable as err:
        raise NotUp(f"{err}. `tidecast up` starts the system; is {setting} the one that it was started with?") from err
    except tidecast_client.UnexpectedAnswer as err:  # another program than the application is at that port
        raise NotUp(f"{url}{err}") from err
    except tidecast_client.NotNow as err:
        raise NotUp(err.problem.detail) from err
    except tidecast_client.NotFound as err:
        unknown = UnknownViewer if err.field == "viewer" else UnknownRoom
        raise unknown(err.problem.detail) from err
    except tidecast_client.ProblemError as err:
        if err.field == "authorization":
            sent = "This command sends the key in http.token (TIDECAST_HTTP__TOKEN)"
            raise NoAccess(f"{err.problem.detail}. {sent}") from err
        raise RequestError(err.problem.detail, field=err.field, allowed=err.allowed) from err


def next_port(url: str) -> str:
    """The address of the port after that of a URL."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"http://{host}:{(parts.port or 80) + 1}"
