"""Serve's HAProxy configuration is narrowed to loopback, and only in what listens on all interfaces."""

from __future__ import annotations

import json

from deploy.haproxy import error_page, on_loopback

CONFIG = """
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
listen stats
  bind *:8404
"""


def test_what_listens_on_all_interfaces_listens_on_loopback() -> None:
    narrowed = on_loopback(CONFIG)
    assert "bind 127.0.0.1:9101" in narrowed
    assert "bind 127.0.0.1:8404" in narrowed
    assert "bind :" not in narrowed
    assert "bind *" not in narrowed


def test_a_chosen_address_stays() -> None:
    assert on_loopback("    bind 10.0.0.7:8000\n") == "    bind 10.0.0.7:8000\n"


def test_without_a_replica_the_error_is_a_problem_too() -> None:
    head, _, body = error_page().partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["status"] == 503
