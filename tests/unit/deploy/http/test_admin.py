"""The port for whoever runs the system: what it answers, whom it does not wait for, who serves it next."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.config.http_settings import HttpConfig
from deploy.http import admin
from deploy.http.admin import AdminPort, admin_routes
from deploy.http.api import Api
from deploy.http.host_posts import FolderStore
from deploy.http.status import Board, SystemStatus
from deploy.ray.haproxy import error_page
from streaming.clock import ManualClock
from streaming.errors import ConfigError
from streaming.machine.ports import free_port
from streaming.metrics import MemoryMetrics

HOLDS = """
import fcntl, sys, time
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def port_of(folder: Path, port: int = 0) -> AdminPort:
    host = Board(FolderStore(folder), ManualClock(7))
    routes = admin_routes(lambda: SystemStatus(at_ms=7, processes=[]), lambda: b"# metrics\n", host.read)
    return AdminPort(Api(routes, 1_024, MemoryMetrics()), "127.0.0.1", port, folder)


def asked(folder: Path, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What is answered to these bytes."""

    async def ask() -> bytes:
        served = port_of(folder)
        port = await served.serve()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        answer = await reader.read()  # it closes after each answer
        writer.close()
        await served.close()
        return answer

    head, _, body = asyncio.run(ask()).partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    return int(line.split()[1]), dict(field.lower().split(": ", 1) for field in fields), body


def test_metrics_and_state_are_there(tmp_path: Path) -> None:
    status, headers, body = asked(tmp_path, b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (status, body, headers["connection"]) == (200, b"# metrics\n", "close")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert asked(tmp_path, b"GET /v1/status?x=1 HTTP/1.1\r\n\r\n")[0] == 400
    assert asked(tmp_path, b"GET /v1/status HTTP/1.0\r\n\r\n")[2] == b'{"at_ms":7,"processes":[]}'
    assert asked(tmp_path, b"HEAD /metrics HTTP/1.1\r\n\r\n")[2] == b""


READY = {"ready": True, "reason": "", "lag": {}, "contact_age_s": 0.1, "live_rooms": 3}


@pytest.mark.parametrize(
    ("posts", "code", "said"),
    [
        ([], 503, b"no replica that answers is on this host"),
        ([("room-worker", {"partitions": [0]}, True)], 503, b"no replica that answers is on this host"),
        ([("recommender", {"ready": False, "reason": "still reading"}, True)], 503, b"still reading"),
        ([("recommender", READY, False)], 503, b"no replica"),  # it was killed, and its post is not a second old
        ([("recommender", READY, True)], 200, b'"live_rooms":3'),
    ],
)
def test_a_host_is_ready_where_a_replica_of_its_own_is(
    posts: list[tuple[str, dict[str, object], bool]], code: int, said: bytes, tmp_path: Path
) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    board = Board(FolderStore(tmp_path), ManualClock(7))
    for name, detail, runs in posts:
        board.write(name, 0, os.getpid() if runs else ended.pid, "10.0.0.1", detail)
    got, _, body = asked(tmp_path, b"GET /readyz HTTP/1.1\r\n\r\n")
    assert got == code
    assert said in body


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /v1/rooms HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
    ],
)
def test_what_is_wrong_is_said_as_everywhere(tmp_path: Path, request_: bytes, status: int) -> None:
    got, headers, body = asked(tmp_path, request_)
    assert (got, headers["content-type"]) == (status, "application/problem+json")
    assert str(status).encode() in body


def test_who_says_nothing_or_too_much_is_told_so_and_cut_off_and_others_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "HEAD_TIMEOUT_S", 0.2)

    async def ask() -> list[bytes]:
        served = port_of(tmp_path)
        port = await served.serve()
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        long, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metrics HTTP/1.1\r\nx: " + b"y" * 9_000)
        good, told = await asyncio.open_connection("127.0.0.1", port)
        told.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        answer = await good.read()
        cut = [await reader.read() for reader, _ in silent]
        too_long = b""
        with contextlib.suppress(ConnectionError):
            too_long = await long.read()
        for one in (*(to for _, to in silent), writer, told):
            one.close()
        await served.close()
        return [answer, too_long, *cut]

    answer, too_long, *cut = asyncio.run(ask())
    assert answer.startswith(b"HTTP/1.1 200")
    assert too_long == error_page(400)
    assert set(cut) == {error_page(408)}


def test_who_is_one_too_many_is_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "MOST_CONNECTIONS", 3)

    async def ask() -> bytes:
        served = port_of(tmp_path)
        port = await served.serve()
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read()
        for one in (*(to for _, to in waiting), writer):
            one.close()
        await served.close()
        return answer

    assert asyncio.run(ask()) == error_page(503)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.01)


def test_the_next_process_serves_it_once_the_one_before_has_been_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path / admin.LOCK)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"

            async def takes_over() -> tuple[bool, bool]:
                port = free_port()
                served = port_of(tmp_path, port)
                served.start()
                before = await asyncio.to_thread(answers, port)
                holder.send_signal(signal.SIGKILL)
                await until(lambda: answers(port))
                await served.close()
                return before, True

            assert asyncio.run(takes_over()) == (False, True)
        finally:
            holder.kill()


def test_a_port_that_another_program_has_is_said_and_taken_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admin, "RETRY_S", 0.02)

    async def waits() -> None:
        other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        served = port_of(tmp_path, port)
        served.start()
        await until(lambda: bool(caplog.records))
        other.close()
        await other.wait_closed()
        await until(lambda: answers(port))
        await served.close()

    asyncio.run(waits())
    (said,) = [record.getMessage() for record in caplog.records if record.name == "deploy.http.admin"]
    assert "http.admin_port" in said


def test_the_port_is_the_one_after_that_for_answers_unless_it_is_chosen() -> None:
    assert HttpConfig(port=9_000).admin_url == "http://127.0.0.1:9001"
    assert HttpConfig(port=9_000, admin_port=7_000, admin_host="0.0.0.0").admin_url == "http://127.0.0.1:7000"
    for wrong in ({"port": 9_000, "admin_port": 9_000}, {"port": 65_535}, {"admin_port": -1}, {"admin_port": 70_000}):
        with pytest.raises(ConfigError, match=r"http\.admin_port"):
            HttpConfig(**wrong)
