"""Tests of how often Serve's HTTP servers look whether they are to end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvicorn
from ray._common.utils import import_attr

from deploy.config.ray_settings import RayConfig
from deploy.ray import server_tick
from deploy.ray.local_ray import LocalRay


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

    monkeypatch.setattr(server_tick.asyncio, "sleep", sleeps)
    asyncio.run(server_tick.main_loop(server))
    assert ticks == 3
