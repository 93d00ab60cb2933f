"""Tests of how often Serve's HTTP servers look whether they are to end."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvicorn
from ray._common.utils import import_attr

from deploy.config.ray_settings import RayConfig
from deploy.ray import server_tick
from deploy.ray.local_ray import LocalRay
from tests.served_api import served


def test_serve_is_told_of_it_and_every_server_then_ticks_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.Server, "main_loop", uvicorn.Server.main_loop)  # is put back
    environment = LocalRay(RayConfig(), tmp_path).environment()
    assert import_attr(environment["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"])() is None  # no middleware
    assert uvicorn.Server.main_loop is server_tick.main_loop


def test_a_server_ends_once_it_is_told_to_and_says_the_date_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    server = uvicorn.Server(uvicorn.Config("no:app", date_header=True))
    ticks = 0

    async def sleeps(seconds: float) -> None:
        nonlocal ticks
        assert seconds == server_tick.TICK_S
        assert any(name == b"date" for name, _ in server.server_state.default_headers)
        server.server_state.default_headers = []  # it is said anew with each tick
        ticks += 1
        server.should_exit = ticks == 3

    monkeypatch.setattr("deploy.ray.server_tick.asyncio.sleep", sleeps)
    asyncio.run(server_tick.main_loop(server))
    assert ticks == 3


def test_an_answer_without_end_is_told_before_its_server_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.Server, "shutdown", uvicorn.Server.shutdown)  # is put back
    ends = asyncio.Event()
    server_tick.before_end(ends.set)

    async def application(
        _scope: object, _receive: object, send: Callable[[dict[str, object]], Awaitable[None]]
    ) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await ends.wait()
        await send({"type": "http.response.body", "body": b" last"})

    with served(application) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.read(5) == b"first"
        assert not ends.is_set()
    assert answer.read() == b" last"  # the server has ended, and waited for it
    connection.close()
