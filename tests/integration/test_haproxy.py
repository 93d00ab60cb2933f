"""What is changed in the configuration that Serve writes for HAProxy: what is open, bounds, errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.config.http_settings import HttpConfig
from deploy.config.proxy_limits import ProxyLimits
from deploy.config.stream_settings import StreamConfig
from deploy.ray.haproxy import ERRORS, changed, error_page
from streaming.errors import ConfigError
from tests.served_proxy import served

LIMITS = ProxyLimits(max_connections=1_000, max_connections_per_source=500, request_timeout_s=2.5)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_nothing_listens_but_the_port_for_answers(tmp_path: Path) -> None:
    before, after = (lines(text) for text in (served(tmp_path), changed(served(tmp_path), LIMITS, tmp_path)))
    assert len([line for line in before if line.startswith("bind ")]) == 3
    assert [line for line in after if line.startswith("bind ")] == ["bind 127.0.0.1:8000 tcp-ut 30s"]
    assert [line.split(" level")[0] for line in after if line.startswith("stats socket")] == [
        f"stats socket {tmp_path / 'admin.sock'} mode 600"
    ]


def test_a_host_for_everybody_stays_one(tmp_path: Path) -> None:
    assert "bind *:8000 tcp-ut 30s" in lines(changed(served(tmp_path, "0.0.0.0"), LIMITS, tmp_path))


def test_the_bounds_are_those_of_the_settings(tmp_path: Path) -> None:
    after = lines(changed(served(tmp_path), LIMITS, tmp_path))
    assert after.count("maxconn 1000") == 1
    assert after.count("timeout http-request 2500ms") == 1
    assert after.count("timeout client-fin 2500ms") == 1
    assert "http-request deny deny_status 429 if { sc0_conn_cur gt 500 }" in after
    assert "tcp-request connection reject if { sc0_conn_cur gt 625 }" in after


def test_a_changed_configuration_is_not_changed_again(tmp_path: Path) -> None:
    once = changed(served(tmp_path), LIMITS, tmp_path)
    assert changed(once, LIMITS, tmp_path) == once


def test_a_replica_may_be_silent_for_longer_than_a_heartbeat_where_a_list_is_streamed(tmp_path: Path) -> None:
    after = lines(changed(served(tmp_path), LIMITS, tmp_path))
    assert after.count("http-request set-timeout server 30s if { path_beg /v1/stream/ }") == 1
    assert StreamConfig(heartbeat_s=15.0).heartbeat_s * 2 <= 30
    with pytest.raises(ConfigError):
        StreamConfig(heartbeat_s=15.1)


@pytest.mark.parametrize("servers", [(9,), ()])
def test_no_text_of_serves_own_is_left_among_the_errors(tmp_path: Path, servers: tuple[int, ...]) -> None:
    text = changed(served(tmp_path, servers=servers), LIMITS, tmp_path)
    answers = [line for line in lines(text) if line.startswith("http-request return status")]
    assert not [line for line in answers if " 200 " not in line and "default-errorfiles" not in line]
    assert not [line for line in lines(text) if line.endswith("500.http") and "errorfile 500" not in line]


def test_without_an_application_it_is_not_there_yet_rather_than_not_found(tmp_path: Path) -> None:
    after = lines(changed(served(tmp_path, servers=()), LIMITS, tmp_path))
    assert "http-request return status 503 default-errorfiles" in after


@pytest.mark.parametrize("status", list(ERRORS))
def test_each_error_is_a_problem_of_its_status(status: int) -> None:
    head, _, body = error_page(status).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["status"] == status


def test_where_the_system_allows_fewer_open_files_fewer_connect_in_the_same_proportion() -> None:
    limits = HttpConfig().limits
    assert limits.within(1_000_000) == limits
    fewer = limits.within(20_000)
    assert fewer.max_connections * 2 < 20_000
    assert fewer.max_connections_per_source == fewer.max_connections // 2
    assert limits.within(256).max_connections == 100
