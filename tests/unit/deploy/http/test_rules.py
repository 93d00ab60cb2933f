"""Tests of the routes for operators' rules: what reaches the log, what is refused, who may."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.answers.known_rules import KnownRules
from actors.rules.schema import Rule
from deploy.http.access import Access
from deploy.http.keys import Entry, KeyRing, digest_of, write_entries
from deploy.http.problem import CONTENT_TYPE
from deploy.http.routes.rules import rule_routes
from streaming.errors import LogUnavailable
from streaming.log.codec import encode
from streaming.log.topics import RULES
from streaming.metrics import MemoryMetrics
from streaming.operator_rule import MAX_RULES, RuleBody, rule_of
from tests.unit.actors.replica import Replica
from tests.unit.deploy.http.called_api import JSON, Caller

AT_MS = 1_764_000_000_000
HIDE = {"action": "hide", "rooms": ["a"]}


class FakeLog:
    """Brings what is written to a replica, as the log would."""

    def __init__(self, replica: Replica | None) -> None:
        """replica: None: it is away."""
        self._replica = replica

    def put(self, name: str, body: RuleBody) -> int:
        if self._replica is None:
            raise LogUnavailable("no broker answers")
        self._replica.send(RULES, name, encode(rule_of(name, body, AT_MS)))
        return AT_MS

    def delete(self, name: str) -> int:
        if self._replica is None:
            raise LogUnavailable("no broker answers")
        self._replica.send(RULES, name, None)
        return AT_MS


class Desk:
    """Routes over a replica with one room."""

    def __init__(self, *, away: bool = False, **caller: Any) -> None:
        self.replica = Replica()
        self.replica.room("a")
        rules = KnownRules(self.replica.recommender)
        table = rule_routes(rules, FakeLog(None if away else self.replica), local_only=True)
        self._call = Caller(also=table, **caller)

    def __call__(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        raw = b"" if body is None else json.dumps(body).encode()
        return self._call(method, path, raw, {**(JSON if raw else {}), **(headers or {})})


def test_a_rule_is_put_listed_obeyed_and_deleted() -> None:
    desk = Desk()
    got = desk("PUT", "/v1/rules/r-1", {**HIDE, "reason": "not now"})
    assert (got.status, got.json) == (202, {"name": "r-1", "put_at_ms": AT_MS})
    assert desk.replica.shown("v") == []
    (rule,) = desk("GET", "/v1/rules").json
    assert rule == desk("GET", "/v1/rules/r-1").json
    assert set(rule) == set(Rule.__struct_fields__)
    assert (rule["name"], rule["in_force"], rule["live_rooms"], rule["reason"]) == ("r-1", True, 1, "not now")
    assert (rule["origin"], rule["replaces_configured"], rule["put_at_ms"]) == ("put", False, AT_MS)
    gone = desk("DELETE", "/v1/rules/r-1")
    assert (gone.status, gone.json) == (
        202,
        {"name": "r-1", "deleted_at_ms": AT_MS, "restores_configured": False},
    )
    assert desk.replica.shown("v") == ["a"]
    assert desk("DELETE", "/v1/rules/r-1").status == 202  # another replica may not have read of the first one
    assert desk("GET", "/v1/rules/r-1").status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "hide"}, ""),
        ({"action": "lift", "rooms": ["a"]}, "action"),
        ({**HIDE, "weight": 21}, "weight"),
        ({**HIDE, "rooms": ["a"] * 201}, "rooms"),
        ({**HIDE, "until": 1}, "until"),
        ({**HIDE, "starts_at_ms": AT_MS, "ends_at_ms": AT_MS}, ""),
        ({"action": "goals", "goals": {"applause": 1}}, "goals"),
        ({"action": "goals", "goals": {"enter": 0}}, "goals"),
        ({"action": "goals", "goals": {"stay": 1}, "rooms": ["a"]}, ""),
        ([], ""),
    ],
    ids=[
        "no room",
        "action",
        "weight",
        "too many",
        "unknown",
        "ends at its start",
        "unknown goal",
        "no goal",
        "both",
        "list",
    ],
)
def test_what_is_no_rule_is_explained_and_not_written(body: Any, field: str) -> None:
    desk = Desk()
    got = desk("PUT", "/v1/rules/r", body)
    assert (got.status, got.headers["content-type"], got.json["field"]) == (400, CONTENT_TYPE, field)
    assert got.json["allowed"]
    assert desk("GET", "/v1/rules").json == []


def test_a_rule_of_goals_is_put_and_listed() -> None:
    desk = Desk()
    assert desk("PUT", "/v1/rules/evening", {"action": "goals", "goals": {"stay": 4}}).status == 202
    (rule,) = desk("GET", "/v1/rules").json
    assert (rule["action"], rule["goals"], rule["in_force"], rule["live_rooms"]) == ("goals", {"stay": 4.0}, True, 0)
    refused = desk("PUT", "/v1/rules/evening", {"action": "goals", "goals": {"enter": 0}})
    assert "one of enter, stay" in refused.json["detail"]
    assert refused.json["allowed"].startswith("weights of enter, stay, interact")


@pytest.mark.parametrize("name", ["a%20b", "%C3%BC", "-a", "x" * 65])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_is_no_name_is_refused(method: str, name: str) -> None:
    got = Desk()(method, f"/v1/rules/{name}", HIDE if method == "PUT" else None)
    assert (got.status, got.json["field"]) == (400, "name")


def test_one_rule_too_many_is_refused_and_one_of_the_same_name_is_not() -> None:
    desk = Desk()
    for number in range(MAX_RULES):
        one = rule_of(f"r{number}", RuleBody(action="hide", rooms=("b",)), AT_MS)
        desk.replica.tables.rules._put[one.name] = one
    assert desk("PUT", "/v1/rules/one-more", HIDE).status == 409
    assert desk("PUT", "/v1/rules/r7", HIDE).status == 202


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_without_kafka_nothing_is_accepted(method: str) -> None:
    got = Desk(away=True)(method, "/v1/rules/r", HIDE if method == "PUT" else None)
    assert (got.status, got.headers["retry-after"]) == (503, "5")
    assert "twice does no harm" in got.json["detail"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_web_page_of_elsewhere_may_not_write_where_nobody_needs_a_key(method: str) -> None:
    body, headers = HIDE if method == "PUT" else None, {"origin": "https://evil.example", "host": "localhost:8000"}
    assert Desk()(method, "/v1/rules/r", body, headers).status == 403
    assert Desk()(method, "/v1/rules/r", body, {"host": "evil.example"}).status == 403
    assert Desk()(method, "/v1/rules/r", body, {"host": "localhost:8000"}).status == 202


def test_rules_need_the_scope_admin(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_entries(
        file,
        {
            "ops": Entry(sha256=digest_of("ops-key").hex(), scopes=("admin",)),
            "shop": Entry(sha256=digest_of("shop-key").hex(), scopes=("recommend", "ingest")),
        },
    )
    desk = Desk(access=Access(KeyRing(file), MemoryMetrics()))
    for method, path in (
        ("GET", "/v1/rules"),
        ("GET", "/v1/rules/r"),
        ("PUT", "/v1/rules/r"),
        ("DELETE", "/v1/rules/r"),
    ):
        body = HIDE if method == "PUT" else None
        assert desk(method, path, body, {"authorization": "Bearer shop-key"}).status == 403
        assert desk(method, path, body, {"authorization": "Bearer ops-key"}).status in (200, 202, 404)
