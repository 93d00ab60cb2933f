"""Requests that are answered in the server's own callback: as by the ordinary way, in order; and the way back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.config import Config
from uvicorn.protocols.http import auto, httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from deploy.http.access import Access
from deploy.http.api import Api
from deploy.http.keys import KeyRing, write_entries
from deploy.http.routes.answers import answer_routes
from deploy.ray import direct_answers
from deploy.ray.direct_answers import DirectProtocol, DirectWay, UnexpectedError, answer_directly
from streaming.metrics import MemoryMetrics
from tests.direct_requests import BODY, CASES, MAX_BODY_BYTES, ORIGIN, Case, ask, asks, get, post, without_ids
from tests.unit.deploy.http.called_api import FakeAnswers, FakeLookup, FakeTexts
from tests.unit.deploy.http.test_keys import Ticks, entry

TURNS = 2_000  # of the event loop, without an end of what is asked: it hangs


class Replica:
    """What is behind a server. has_read: its tables."""

    def __init__(
        self, *, has_read: bool = True, access: Access | None = None, cors_origins: Sequence[str] = ()
    ) -> None:
        self.answers, self.metrics = FakeAnswers(), MemoryMetrics()
        self.api = Api(
            answer_routes(self.answers, FakeTexts(), FakeLookup(self.answers)),
            MAX_BODY_BYTES,
            self.metrics,
            lambda: has_read,
            request_timeout_s=0.05,
            access=access,
            cors_origins=cors_origins,
        )


class Wire(asyncio.Transport):
    """A connection's end. full: from so many bytes on the other one does not read."""

    def __init__(self, full: int = 1 << 30) -> None:
        super().__init__()
        self.sent = b""
        self.writes = 0
        self.closed = False
        self.protocol: Any = None
        self._full = full

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closed:
            return
        self.sent += data
        self.writes += 1
        if len(self.sent) >= self._full:
            self.protocol.pause_writing()

    def read_all(self) -> None:
        """The other end reads."""
        self._full = 1 << 30
        self.protocol.resume_writing()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Reads no more."""

    def resume_reading(self) -> None:
        """Reads again."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


@dataclass
class FakeCount:
    """Counts in memory."""

    full: bool = False
    noted: list[tuple[str, int]] = field(default_factory=list)

    def answered(self, method: str, status: int, took_ms: float) -> None:
        assert took_ms >= 0
        self.noted.append((method, status))


class Server:
    """A server with one connection, and the Api behind it."""

    def __init__(self, replica: Replica, *, direct: bool = True, full: int = 1 << 30, **options: Any) -> None:
        self.replica, self.count, self.wire = replica, FakeCount(), Wire(full)
        self.way = DirectWay(replica.api, replica.metrics, lambda _: self.count)
        protocol = partial(DirectProtocol, self.way) if direct else HttpToolsProtocol
        config = Config(
            replica.api, http=protocol, lifespan="off", ws="none", log_config=None, access_log=False, **options
        )
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today"), (b"server", b"uvicorn")]
        self.protocol = protocol(config, self.state, {}, asyncio.get_running_loop())
        self.wire.protocol = self.protocol
        self.protocol.connection_made(self.wire)

    async def receive(self, *pieces: bytes) -> None:
        """Receives them one after the other, each once everything before has been answered that can be."""
        for piece in pieces:
            if not self.wire.closed:
                self.protocol.data_received(piece)
                await self.rest(body_follows=piece is not pieces[-1])

    async def rest(self, *, body_follows: bool = False) -> None:
        """Waits until nothing is being answered. body_follows: a request may be waiting for it."""
        for _ in range(20):
            await asyncio.sleep(0)
        turns = 0
        while self.state.tasks and not body_follows:
            turns += 1
            assert turns < TURNS, "a request hangs"
            await asyncio.sleep(0.001)

    def leave(self) -> None:
        """The caller goes."""
        self.protocol.connection_lost(None)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


@dataclass(frozen=True)
class Seen:
    """What a caller saw of a connection, and what the replica has noted."""

    sent: bytes
    closed: bool
    asked: Sequence[Any]
    counted: dict[str, float]


def seen(server: Server) -> Seen:
    replica = server.replica
    statuses = ("200", "204", "400", "401", "403", "404", "405", "408", "413", "415", "429", "500", "503")
    counted = {status: replica.metrics.value("requests_total", status=status) for status in statuses}
    for route in ("/v1/recommend", "/v1/rooms", "unknown"):
        counted[f"seconds of {route}"] = len(replica.metrics.observed("request_seconds", route=route))
        counted[route] = replica.metrics.value("requests_total", route=route)
    counted["total"] = server.state.total_requests
    return Seen(without_ids(server.wire.sent), server.wire.closed, replica.answers.asked, counted)


async def compared(case: Case, make: Callable[[], Replica]) -> Server:
    """The direct server, having been compared with the ordinary one."""
    servers = [Server(make(), direct=direct) for direct in (True, False)]
    for server in servers:
        await server.receive(*case.pieces)
    direct, ordinary = servers
    assert seen(direct) == seen(ordinary)
    for server in servers:
        server.leave()
    return direct


@pytest.mark.parametrize("name", list(CASES))
def test_both_ways_say_the_same_byte_for_byte(name: str) -> None:
    async def test() -> None:
        direct = await compared(CASES[name], lambda: Replica(cors_origins=(ORIGIN,)))
        assert direct.wire.sent.startswith(b"HTTP/1.1 ")
        assert len(direct.count.noted) == CASES[name].direct

    run(test)


@pytest.mark.parametrize("name", ["as usual", "no viewer", "in chunks", "one who is looked up between", "close"])
def test_it_does_not_matter_where_the_bytes_are_cut(name: str) -> None:
    (request,) = CASES[name].pieces

    async def test() -> None:
        for cut in range(1, len(request), 7):
            await compared(Case((request[:cut], request[cut:]), 0), Replica)

    run(test)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), 401),
        (("authorization: Bearer reads",), 200),
        (("x-api-key: reads",), 200),
        (("authorization: Bearer unknown",), 401),
        (("authorization: Bearer writes",), 403),
        (("authorization: Bearer unknown", "content-type: text/xml"), 401),
    ],
)
def test_who_has_no_key_is_refused_alike(tmp_path: Path, headers: tuple[str, ...], status: int) -> None:
    write_entries(tmp_path / "keys", {"shop": entry("reads"), "relay": entry("writes", "ingest")})

    def make() -> Replica:
        return Replica(access=Access(KeyRing(tmp_path / "keys"), MemoryMetrics()))

    async def test() -> None:
        direct = await compared(Case((ask(BODY, *headers),), 1), make)
        assert direct.count.noted == [("POST", status)]

    run(test)


def test_a_keys_rate_is_taken_once_a_request_also_where_its_viewer_is_looked_up(tmp_path: Path) -> None:
    write_entries(tmp_path / "keys", {"slow": entry("slow", rate=2.0)})
    key = "authorization: Bearer slow"
    requests = (ask(b'{"viewer":"gone-1"}', key), ask(BODY, key), ask(BODY, key))

    def make() -> Replica:
        clock = Ticks()
        return Replica(access=Access(KeyRing(tmp_path / "keys", clock), MemoryMetrics(), now_s=clock))

    async def test() -> None:
        direct = await compared(Case(requests, 2), make)
        assert direct.count.noted == [("POST", 200), ("POST", 429)]

    run(test)


def test_a_replica_that_has_not_read_its_tables_says_so_alike() -> None:
    async def test() -> None:
        direct = await compared(Case((ask(), ask(b"{}")), 2), lambda: Replica(has_read=False))
        assert direct.count.noted == [("POST", 503)] * 2

    run(test)


def test_an_answer_is_there_before_the_event_loop_turns_and_in_one_piece() -> None:
    async def test() -> None:
        server = Server(Replica())
        server.protocol.data_received(asks("v1"))
        assert b'"viewer":"v1"' in server.wire.sent
        assert server.wire.writes == 1
        assert not server.state.tasks
        server.leave()

    run(test)


def test_what_waits_behind_a_request_that_has_to_wait_is_answered_after_it() -> None:
    async def test() -> None:
        server = Server(Replica())
        server.protocol.data_received(asks("gone-1"))
        server.protocol.data_received(asks("v2") + asks("v3"))
        assert server.wire.sent == b""
        await server.rest()
        viewers = [server.wire.sent.index(b'"viewer":"%b"' % viewer) for viewer in (b"gone-1", b"v2", b"v3")]
        assert viewers == sorted(viewers)
        await server.receive(asks("v4"))
        assert server.count.noted == [("POST", 200)]  # the last one alone
        server.leave()

    run(test)


def test_a_looked_up_request_keeps_its_id() -> None:
    async def test() -> None:
        server = Server(Replica())
        await server.receive(asks("gone-1"))
        head, _, body = server.wire.sent.partition(b"\r\n\r\n")
        request_id = head.partition(b"x-request-id: ")[2].partition(b"\r\n")[0]
        assert b'"request_id":"%b"' % request_id in body
        server.leave()

    run(test)


def test_a_caller_who_leaves_before_the_bodys_end_asks_nothing() -> None:
    async def test() -> None:
        server = Server(Replica())
        server.protocol.data_received(ask()[:-3])
        server.leave()
        await server.rest()
        assert server.replica.answers.asked == []
        assert not server.state.tasks

    run(test)


@pytest.mark.parametrize(
    "pieces",
    [(asks("v1") + asks("v2") + asks("v3"),), (asks("v1"), asks("v2"), asks("v3"))],
    ids=["at once", "one by one"],
)
def test_who_does_not_read_is_answered_no_further(pieces: tuple[bytes, ...]) -> None:
    async def test() -> None:
        server = Server(Replica(), full=1)
        for piece in pieces:
            server.protocol.data_received(piece)
        await server.rest(body_follows=True)
        assert b'"viewer":"v1"' in server.wire.sent
        assert b'"viewer":"v2"' not in server.wire.sent
        server.wire.read_all()
        await server.rest()
        assert server.wire.sent.count(b"HTTP/1.1 200 OK") == 3
        server.leave()

    run(test)


def test_after_close_nothing_more_is_answered() -> None:
    async def test() -> None:
        server = Server(Replica())
        await server.receive(ask(BODY, "connection: close") + asks("v2") + get("/v1/rooms"))
        assert server.wire.closed
        assert len(server.replica.answers.asked) == 1

    run(test)


def test_nonsense_behind_a_request_is_told_so_after_its_answer() -> None:
    async def test() -> None:
        server = Server(Replica())
        await server.receive(asks("v1") + b"nonsense\r\n\r\n")
        assert server.wire.sent.startswith(b"HTTP/1.1 200 OK")
        assert b"HTTP/1.1 400 " in server.wire.sent
        assert server.wire.closed

    run(test)


@pytest.mark.parametrize("begun", [b"", ask()[:-3], asks("gone-1"), post(b"", "content-length: 5")])
def test_a_server_that_ends_waits_for_what_has_begun_alone(begun: bytes) -> None:
    async def test() -> None:
        server = Server(Replica())
        await server.receive(asks("v1"))
        if begun:
            server.protocol.data_received(begun)
        server.protocol.shutdown()
        assert server.wire.closed is (not begun)
        server.protocol.data_received(b"}" * 5)
        await server.rest()
        assert server.wire.closed
        server.leave()

    run(test)


def test_an_idle_connection_is_closed_in_time_and_one_in_use_is_not() -> None:
    async def test() -> None:
        server = Server(Replica())
        server.protocol.data_received(asks("v1"))
        timer = server.protocol.timeout_keep_alive_task
        assert timer is not None
        server.protocol.data_received(asks("gone-1"))
        assert timer.cancelled()
        assert server.protocol.timeout_keep_alive_task is None
        await server.rest()
        assert server.protocol.timeout_keep_alive_task is not None
        server.protocol.timeout_keep_alive_handler()
        assert server.wire.closed
        server.leave()

    run(test)


def test_where_all_places_are_taken_a_request_waits_the_ordinary_way() -> None:
    async def test() -> None:
        server = Server(Replica())
        server.count.full = True
        server.protocol.data_received(asks("v1"))
        assert server.wire.sent == b""
        await server.rest()
        assert b"200 OK" in server.wire.sent
        assert server.count.noted == []
        server.leave()

    run(test)


# the way back


def expect_ordinary(replica: Replica, caplog: pytest.LogCaptureFixture, why: str) -> None:
    """One warning, and the metric."""
    (record,) = [one for one in caplog.records if one.name == direct_answers.__name__]
    assert record.levelno == logging.WARNING
    assert why in record.getMessage()
    assert replica.metrics.value("replica_direct") == 0


@pytest.fixture
def put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)


@pytest.mark.usefixtures("put_back")
def test_it_is_put_in_place_where_uvicorn_looks_its_protocol_up() -> None:
    async def test() -> None:
        replica = Replica()
        answer_directly(replica.api, replica.metrics)
        config = uvicorn.Config(replica.api, log_config=None, lifespan="off")
        config.load()
        assert isinstance(config.http_protocol_class, partial)
        assert config.http_protocol_class.func is DirectProtocol

    run(test)


@pytest.mark.usefixtures("put_back")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((auto, "AutoHTTPProtocol", asyncio.Protocol), "the server's protocol is"),
        ((HttpToolsProtocol, "on_message_begin", lambda _: None), "it counts 0 of 2 requests"),
        ((HttpToolsProtocol, "data_received", lambda *_: None), "it counts 0 of 2 requests"),
        ((httptools_impl, "FlowControl", object), "not as expected"),
        ((direct_answers, "STATUS_LINE", {200: b"HTTP/2 200\r\n"}), "answers"),
        ((direct_answers, "ServerState", object), "not as expected"),
    ],
)
def test_a_server_that_is_not_as_expected_stays_as_it_is(
    change: tuple[Any, str, Any], why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        replica = Replica()
        monkeypatch.setattr(*change)
        before = auto.AutoHTTPProtocol
        answer_directly(replica.api, replica.metrics)
        assert auto.AutoHTTPProtocol is before
        expect_ordinary(replica, caplog, why)

    run(test)


def test_without_serves_replica_requests_go_the_ordinary_way_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def nobody(_: Any) -> Any:
        raise UnexpectedError("nobody counts")

    async def test() -> None:
        replica = Replica()
        way = DirectWay(replica.api, replica.metrics, nobody)
        config = Config(replica.api, lifespan="off", ws="none", log_config=None, access_log=False)
        for _ in range(2):
            wire = Wire()
            protocol = DirectProtocol(way, config, ServerState(), {}, asyncio.get_running_loop())
            protocol.connection_made(wire)
            protocol.data_received(asks("v1"))
            assert wire.sent == b""
            for _ in range(20):
                await asyncio.sleep(0)
            assert b"200 OK" in wire.sent
            protocol.connection_lost(None)
        expect_ordinary(replica, caplog, "nobody counts")

    run(test)


@pytest.mark.parametrize("options", [{"limit_concurrency": 5}, {"root_path": "/below"}])
def test_a_server_that_does_more_for_each_request_does_so(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        server = Server(Replica(), **options)
        expect_ordinary(server.replica, caplog, "the server has a limit of connections, or a root path")
        server.leave()

    run(test)


def test_the_metric_says_that_a_server_answers_directly() -> None:
    async def test() -> None:
        server = Server(Replica())
        assert server.replica.metrics.value("replica_direct") == 1
        server.leave()

    run(test)
