"""The most frequent requests answered in the HTTP server's own callback, past ASGI and Serve. Never decides an answer.

A replica's server is uvicorn. Its protocol object of a connection makes an ASGI task of each request, and Serve's
wrapper two more; that takes longer than an answer from memory. Here a subclass of that protocol stands in the place
where uvicorn looks its protocol up. It answers a request at once if the request is there in full and is the first on
its connection that has no answer yet. Everything else goes the ordinary way, from the same bytes: other routes, a body
that is still to come, a handler that has to wait, a replica whose places are all taken. So both ways are always there,
and the answers of both are the same.

Serve is told of such a request: it counts in what Serve scales by and waits for. All that this file needs of uvicorn
0.54 and Ray 2.60 is tried out before it is used. Where it is not as expected the ordinary way stays, with a warning.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Protocol, cast

from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from streaming.metrics import Metrics

LOGGER = logging.getLogger(__name__)

# A request with one of these is for the ordinary way: its body comes later, or in chunks; the connection becomes
# another; Serve gives the request a time limit
ORDINARY = frozenset((b"expect", b"transfer-encoding", b"upgrade", b"x-request-timeout-seconds"))
GAUGE = "replica_direct"

Scope = MutableMapping[str, Any]


class Whole(Protocol):
    """A response as it is sent, with all headers; `deploy.http.route.Whole` is one."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    @property
    def body(self) -> bytes: ...


class Answers(Protocol):
    """What answers at once; `deploy.http.api.Api` does."""

    @property
    def direct(self) -> Sequence[tuple[str, str]]:
        """Method and path of what it answers."""

    def at_once(self, scope: Scope, body: bytes) -> Whole | None:
        """The answer; None: its handler has to wait, and the ASGI application goes on with this scope. Never raises."""


class Count(Protocol):
    """What the process is answering, as others are told."""

    @property
    def full(self) -> bool:
        """Whether a further request has to wait for its turn."""

    def answered(self, method: str, status: int, took_ms: float) -> None:
        """Counts a request that has just been answered, for as long as those that came with it are."""


class UnexpectedError(Exception):
    """Raised where uvicorn, Ray or how they were started is not what this file was written for."""


def answer_directly(answers: Answers, metrics: Metrics) -> None:
    """Makes the HTTP server that starts next in this process answer directly. For the event loop.

    Raises nothing: where that cannot be, requests go the ordinary way, and a warning says why.
    """
    way = DirectWay(answers, metrics)
    try:
        check_server()
    except UnexpectedError as err:
        way.fall_back(err)
        return
    auto.AutoHTTPProtocol = partial(DirectProtocol, way)  # type: ignore[assignment]


class DirectWay:
    """What all connections of a replica share."""

    def __init__(self, answers: Answers, metrics: Metrics, count_of: Callable[[Any], Count] | None = None) -> None:
        """count_of: gives what is told of requests that an ASGI application does not see. Raises UnexpectedError."""
        self.at_once = answers.at_once
        self.named = {(method.encode(), path.encode()): (method, path) for method, path in answers.direct}
        self._metrics = metrics
        self._count_of = count_of or ServeCount.of
        self._config: Config | None = None
        self._count: Count | None = None

    def fall_back(self, why: Exception) -> None:
        """Says that requests go the ordinary way."""
        self._metrics.gauge(GAUGE, 0.0)
        LOGGER.warning("recommendations are answered the ordinary way, which is slower: %s", why)

    def count(self, config: Config) -> Count | None:
        """What counts the requests of a server; None where they go the ordinary way."""
        if config is not self._config:  # its first connection
            self._config, self._count = config, None
            try:
                _check_config(config)
                self._count = self._count_of(config.loaded_app)
                self._metrics.gauge(GAUGE, 1.0)
            except UnexpectedError as err:
                self.fall_back(err)
        return self._count


def _check_config(config: Config) -> None:
    """Raises UnexpectedError: the server does more for each request than this file does."""
    if config.access_log and logging.getLogger("uvicorn.access").hasHandlers():
        raise UnexpectedError("the server writes a line for each request")
    if config.limit_concurrency is not None or config.root_path:
        raise UnexpectedError("the server has a limit of connections, or a root path")


class DirectProtocol(HttpToolsProtocol):
    """uvicorn's protocol of a connection. A request is direct from the end of its head until it is answered, or until
    the bytes at hand are used up without its body's end: then it is ordinary, as if it had always been.
    """

    def __init__(
        self,
        way: DirectWay,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._at_once = way.at_once
        self._named = way.named
        self._count = way.count(config)
        self._body: bytes | None = None  # of the direct request, as much as is there; None where there is none
        self._keep_alive = True  # after it
        self._ended = False  # its answer was the last one
        self._answered = False  # a direct request, of the bytes that were received last: others have their turn then

    def data_received(self, data: bytes) -> None:
        self._answered = False
        super().data_received(data)
        if self._body is not None:
            self._go_on(self._body)
        elif self._answered and (self.cycle is None or self.cycle.response_complete):
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_headers_complete(self) -> None:
        if self._ended:
            return
        if self._is_direct():
            self._body = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._body is not None:
            self._body += body
        elif not self._ended:
            super().on_body(body)

    def on_message_complete(self) -> None:
        body = self._body
        if body is None:
            if not self._ended:
                super().on_message_complete()
            return
        count = self._count
        assert count is not None
        began_s = time.perf_counter()
        answer = self._at_once(cast(Scope, self.scope), body)
        if answer is None:
            self._go_on(body)
            super().on_message_complete()
            return
        self._body = None
        self._answered = True
        self._send(answer)
        count.answered(self.scope["method"], answer.status, (time.perf_counter() - began_s) * 1_000)

    def _is_direct(self) -> bool:
        count, cycle = self._count, self.cycle
        if count is None or self._answered or not (cycle is None or cycle.response_complete):
            return False
        named = self._named.get((self.parser.get_method(), self.url))
        if named is None or self.parser.get_http_version() != "1.1" or self.flow.write_paused or count.full:
            return False
        for name, value in self.headers:
            if name in ORDINARY or not value.isascii():  # the wrapper decodes some values
                return False
        self.scope["method"], self.scope["path"] = named
        self._keep_alive = self.parser.should_keep_alive()
        return True

    def _go_on(self, body: bytes) -> None:
        """Makes an ordinary request of the direct one."""
        self._body = None
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def _send(self, answer: Whole) -> None:
        """Sends what uvicorn would have sent, in one piece."""
        keep_alive, closes = self._keep_alive, False
        lines = [STATUS_LINE[answer.status]]
        for headers in (self.server_state.default_headers, answer.headers):
            for name, value in headers:
                lines += (name, b": ", value, b"\r\n")
                if name == b"connection" and value == b"close":
                    keep_alive, closes = False, True
        if not (keep_alive or closes):
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", answer.body)
        self.transport.write(b"".join(lines))
        self.server_state.total_requests += 1
        if not keep_alive:
            self._ended = True
            self.transport.close()


class ServeCount:
    """Serve's own count in a replica, told of requests that its wrapper does not see. For the replica's event loop.

    Serve looks at this count from time to time: to scale, and before a replica ends. While a direct request is computed
    nobody can look, and afterwards it would be gone. So it stays counted for one turn of the event loop. Then what
    Serve sees is how many were answered in a turn, which is how many had come while those of the turn before were
    answered: the requests in progress, those that wait at the socket included.
    """

    def __init__(self, replica: Any) -> None:
        """replica: Serve's object of the replica. Raises UnexpectedError."""
        from ray.serve._private.common import RequestMetadata, RequestProtocol  # noqa: PLC0415  the replica has it

        self._loop: asyncio.AbstractEventLoop = replica._event_loop
        self._locked = replica._semaphore.locked
        self._manager = replica._metrics_manager
        self._route = replica._route_prefix or ""  # what Serve calls each request of an application that is no FastAPI
        self._names = {"app_name": replica._deployment_id.app_name, "deployment_name": replica._deployment_id.name}
        self._protocol = RequestProtocol.HTTP
        self._request = RequestMetadata(
            request_id="",
            internal_request_id="",
            _request_protocol=RequestProtocol.HTTP,
            is_direct_ingress=True,
        )
        self._counted = 0  # in this turn
        self._try_out(replica)

    @classmethod
    def of(cls, app: Any) -> ServeCount:
        """That of the replica whose server calls this ASGI application. Raises UnexpectedError."""
        try:
            return cls(serve_replica(app))
        except (ImportError, AttributeError, TypeError, KeyError) as err:
            raise UnexpectedError(f"Ray Serve is not as expected: {err!r}") from err

    @property
    def full(self) -> bool:
        return bool(self._locked())

    def answered(self, method: str, status: int, took_ms: float) -> None:
        manager = self._manager
        manager.inc_num_ongoing_requests(self._request)
        self._counted += 1
        if self._counted == 1:
            self._loop.call_soon(self._turn)
        manager.record_request_metrics(route=self._route, latency_ms=took_ms, is_error=False)
        manager.record_ingress_request_metrics(
            protocol=self._protocol,
            method=method,
            route=self._route,
            latency_ms=took_ms,
            is_error=status >= HTTPStatus.BAD_REQUEST,
            status_code=str(status),
            **self._names,
        )

    def _turn(self) -> None:
        """The turn in which they came ends; who waits for this one sees them in the next."""
        counted, self._counted = self._counted, 0
        self._loop.call_soon(self._forget, counted)

    def _forget(self, counted: int) -> None:
        for _ in range(counted):
            self._manager.dec_num_ongoing_requests(self._request)

    def _try_out(self, replica: Any) -> None:
        before, after = replica.get_num_ongoing_requests(), 0
        self._manager.inc_num_ongoing_requests(self._request)
        try:
            after = replica.get_num_ongoing_requests()
        finally:
            self._manager.dec_num_ongoing_requests(self._request)
        if (after, replica.get_num_ongoing_requests()) != (before + 1, before):
            raise UnexpectedError("Serve's count of requests in progress does not count")
        if self._locked() not in (True, False):
            raise UnexpectedError("Serve does not say whether a replica's places are taken")


def serve_replica(app: Any) -> Any:
    """Serve's object of the replica whose server calls this ASGI application.

    Raises UnexpectedError: there is none, or Serve does more around a request than this file does.
    """
    from ray.serve._private import replica as serve  # noqa: PLC0415  the replica has imported all of it
    from ray.serve._private.tracing_utils import is_tracing_enabled  # noqa: PLC0415

    from deploy.ray.ray_patches import AsItIs  # noqa: PLC0415

    while isinstance(app, ProxyHeadersMiddleware | AsItIs):  # both change nothing that an answer depends on
        app = app.app
    found = getattr(app, "__self__", None)
    if not isinstance(found, serve.Replica) or app.__func__ is not serve.Replica._direct_ingress_asgi:
        raise UnexpectedError(f"the server calls {app!r}, and not a replica of Serve")
    if found._user_callable_wrapper._run_user_code_in_separate_thread:
        raise UnexpectedError(
            "requests are answered in another thread than the server's (RAY_SERVE_THROUGHPUT_OPTIMIZED)"
        )
    if serve.logger.isEnabledFor(logging.INFO) or is_tracing_enabled():
        raise UnexpectedError("Serve logs or traces each request")
    return found


def check_server() -> None:
    """Tries a request out on a connection that is none. Raises UnexpectedError: uvicorn is not as expected."""
    if auto.AutoHTTPProtocol is not HttpToolsProtocol:
        raise UnexpectedError(f"the server's protocol is {auto.AutoHTTPProtocol!r}")
    if "response_complete" not in RequestResponseCycle.__init__.__code__.co_names:
        raise UnexpectedError("the server's protocol does not say when an answer is complete")
    try:
        got = _tried_out()
    except Exception as err:
        raise UnexpectedError(f"the server's protocol is not as expected: {err!r}") from err
    if got != Trial.EXPECTED:
        raise UnexpectedError(f"the server's protocol answers {got[:200]!r}")


def _tried_out() -> bytes:
    trial = Trial()
    config = Config(trial, http=HttpToolsProtocol, lifespan="off", ws="none", log_config=None, access_log=False)
    way = DirectWay(trial, trial, lambda _: trial)
    state = ServerState()
    protocol = DirectProtocol(way, config, state, {}, asyncio.get_running_loop())
    protocol.connection_made(trial)
    for _ in range(2):
        protocol.data_received(Trial.REQUEST)
    protocol.connection_lost(None)
    if state.total_requests != 2 or state.connections:
        raise UnexpectedError(f"it counts {state.total_requests} of 2 requests")
    return trial.written


class Trial(asyncio.Transport):
    """A connection to nobody, with two requests on it, and all that is behind it."""

    REQUEST = b"POST /t HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}"
    EXPECTED = b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n{}" * 2
    direct = (("POST", "/t"),)
    full = False
    status = 200
    headers = ((b"x", b"y"),)

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.body = b""

    def at_once(self, scope: Scope, body: bytes) -> Whole:
        self.body = body
        return self

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise UnexpectedError("a request was not answered at once")

    def answered(self, method: str, status: int, took_ms: float) -> None:
        """Counts nothing."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Counts nothing."""

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Shows nothing."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Observes nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Is never open."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default
