"""Tests of deploy.console.guard: pages of strangers get nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deploy.console.guard import LOOPBACK, Guard


def answered(kind: str = "http", hosts: frozenset[str] | None = LOOPBACK, **headers: str) -> list[Any]:
    """What is sent in answer to a request with these headers."""
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(Guard(app, hosts)(scope, receive, send))
    return sent


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:8080", "[::1]:8080"])
def test_its_own_names_are_let_in_with_a_policy(host: str) -> None:
    (start,) = answered(host=host)
    assert start["status"] == 200
    headers = dict(start["headers"])
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "127.0.0.2:8080"])
def test_another_name_is_refused(host: str) -> None:
    assert answered(host=host)[0]["status"] == 421
    assert answered("websocket", host=host) == [{"type": "websocket.close", "code": 1008}]


def test_a_page_of_another_origin_is_refused_whatever_its_host() -> None:
    for hosts in (LOOPBACK, None):
        assert answered(hosts=hosts, host="localhost:8080", origin="http://evil.example")[0]["status"] == 421
        assert answered(hosts=hosts, host="localhost:8080", origin="http://localhost:8080")[0]["status"] == 200
        assert answered("websocket", hosts, host="localhost:8080", origin="null")[0]["code"] == 1008


def test_behind_a_gateway_any_name_is_its_own() -> None:
    assert answered(hosts=None, host="console.example")[0]["status"] == 200


def test_what_is_no_request_passes() -> None:
    assert answered("lifespan")[0]["status"] == 200
