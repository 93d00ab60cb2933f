"""Who may ask: nobody without a key, nobody beyond its scope or its rate, and probes always."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config.http_settings import HttpConfig
from deploy.http.access import Access
from deploy.http.keys import KeyRing, write_entries
from deploy.http.problem import CONTENT_TYPE
from deploy.http.routes.public import routes
from streaming.errors import ConfigError
from streaming.metrics import MemoryMetrics
from tests.unit.deploy.http.called_api import JSON, READY, Caller, FakeAnswers, behind
from tests.unit.deploy.http.test_keys import Ticks, entry

ASK = b'{"viewer":"v"}'


def caller(folder: Path, ticks: Ticks | None = None, *, share: float = 1.0) -> Caller:
    path = folder / "keys.toml"
    write_entries(path, {"shop": entry("reads"), "relay": entry("writes", "ingest"), "slow": entry("slow", rate=2.0)})
    clock = ticks or Ticks()
    return Caller(access=Access(KeyRing(path, clock), MemoryMetrics(), share=share, now_s=clock))


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_key_opens_what_its_scope_says(tmp_path: Path, header: str) -> None:
    call = caller(tmp_path)
    bearer = "bEaReR " if header == "authorization" else ""
    assert call("POST", "/v1/recommend", ASK, {**JSON, header: f"{bearer}reads"}).status == 200
    assert call("GET", "/v1/rooms", headers={header: f"{bearer}reads"}).status == 200
    got = call("POST", "/v1/recommend", ASK, {**JSON, header: f"{bearer}writes"})
    assert (got.status, got.json["detail"]) == (403, "the key 'relay' may ingest, and this needs recommend")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "reads"},
        {"authorization": "Basic reads"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer readS"},
        {"authorization": "Bearer " + "x" * 100_000},
        {"x-api-key": ""},
    ],
)
@pytest.mark.parametrize(
    "target", ["POST /v1/recommend", "GET /v1/rooms", "GET /v1/rooms/r", "GET /v1/rooms/r/similar"]
)
def test_without_a_known_key_nothing_is_answered(tmp_path: Path, headers: dict[str, str], target: str) -> None:
    call = caller(tmp_path)
    method, path = target.split(" ")
    got = call(method, path, ASK if method == "POST" else b"", headers)
    assert (got.status, got.headers["content-type"]) == (401, CONTENT_TYPE)
    assert got.headers["www-authenticate"].startswith("Bearer")
    assert "tidecast keys create" in got.json["allowed"]
    assert call.answers.asked == []


def test_every_route_with_data_needs_a_key() -> None:
    table = routes(behind(FakeAnswers()), lambda: READY)
    assert {route.path for route in table if route.scope is None and route.path.startswith("/v1/")} == set()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs"])
def test_probes_and_the_documentation_need_no_key(tmp_path: Path, path: str) -> None:
    assert caller(tmp_path)("GET", path).status == 200


def test_a_key_is_looked_at_before_the_body(tmp_path: Path) -> None:
    assert caller(tmp_path)("POST", "/v1/recommend", b" " * 100_000).status == 401


def test_a_rate_is_granted_in_shares_and_comes_back(tmp_path: Path) -> None:
    ticks = Ticks()
    call = caller(tmp_path, ticks, share=0.5)
    slow = {"x-api-key": "slow"}
    assert [call("GET", "/v1/rooms", headers=slow).status for _ in range(2)] == [200, 429]
    ticks.now_s += 0.5
    got = call("GET", "/v1/rooms", headers=slow)
    assert (got.status, got.headers["retry-after"]) == (429, "1")
    ticks.now_s += 0.5
    assert call("GET", "/v1/rooms", headers=slow).status == 200
    ticks.now_s -= 1_000
    assert call("GET", "/v1/rooms", headers=slow).status == 429
    assert call("GET", "/v1/rooms", headers={"x-api-key": "reads"}).status == 200


def test_where_reading_is_open_nobody_may_write() -> None:
    metrics = MemoryMetrics()
    access = Access(None, metrics)
    assert access.require((), "recommend") == ""
    for scope in ("ingest", "admin"):
        with pytest.raises(Exception, match=f"nobody may {scope}"):
            access.require((), scope)
    assert metrics.value("requests_without_access_total", reason="no_keys") == 2


def test_a_request_key_of_one_caller_is_not_that_of_another(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    write_entries(path, {"a": entry("a", "ingest"), "b": entry("b", "ingest")})
    call = Caller(access=Access(KeyRing(path), MemoryMetrics()))
    chat = b'{"type":"chat","room":"r","viewer":"v","text":"%b","at_ms":1700000000000}'
    for key, text in (("a", b"one"), ("b", b"two")):
        headers = {**JSON, "x-api-key": key, "idempotency-key": "same"}
        got = call("POST", "/v1/chat", chat % text, headers)
        assert (got.status, "idempotency-replayed" in got.headers) == (200, False)
    assert call("POST", "/v1/chat", chat % b"two", {**JSON, "x-api-key": "a", "idempotency-key": "same"}).status == 409
    assert call("POST", "/v1/chat", chat % b"x", JSON).status == 401


def test_the_document_says_that_a_key_is_needed(tmp_path: Path) -> None:
    described = caller(tmp_path)("GET", "/openapi.json").json
    assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    recommend = described["paths"]["/v1/recommend"]["post"]
    assert (recommend["security"], "401" in recommend["responses"]) == ([{"key": []}], True)
    assert "security" not in described["paths"]["/readyz"]["get"]
    assert "securitySchemes" not in Caller()("GET", "/openapi.json").json["components"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_no_key_is_needed(host: str) -> None:
    HttpConfig(host=host).require_keys()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "example.org", "localhost.example.org"])
def test_elsewhere_it_does_not_start_without_keys_unless_that_is_said(host: str) -> None:
    with pytest.raises(ConfigError, match="keys_file"):
        HttpConfig(host=host).require_keys()
    HttpConfig(host=host, open=True).require_keys()
    HttpConfig(host=host, keys_file="/etc/keys.toml").require_keys()


def test_a_page_of_an_allowed_origin_may_read_answers_and_ask_first() -> None:
    call = Caller(cors_origins=["https://shop.example"])
    page = {"origin": "https://shop.example"}
    got = call("POST", "/v1/recommend", ASK, {**JSON, **page})
    assert (got.status, got.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    asked = call("OPTIONS", "/v1/recommend", headers={**page, "access-control-request-method": "POST"})
    assert asked.status == 204
    assert "authorization" in asked.headers["access-control-allow-headers"]
    assert "POST" in asked.headers["access-control-allow-methods"]
    for other in ({}, {"origin": "https://shop.example.evil"}, {"origin": "null"}):
        got = call("POST", "/v1/recommend", ASK, {**JSON, **other})
        assert "access-control-allow-origin" not in got.headers
        assert got.headers["vary"] == "origin"
    assert Caller(cors_origins=["*"])("GET", "/v1/rooms", headers=page).headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in Caller()("GET", "/v1/rooms", headers=page).headers
