"""Tests of the routes for versions of the models: what is listed, what is changed, and by whom it is not."""

from __future__ import annotations

import pytest

from tests.unit.deploy.http.called_api import Caller


@pytest.fixture
def call() -> Caller:
    return Caller()


def test_versions_are_listed_with_the_one_that_answers(call: Caller) -> None:
    got = call("GET", "/v1/models")
    assert got.status == 200
    assert got.json == {
        "answers": "v0",
        "versions": [{"version": "m1", "state": "candidate", "at_ms": 1, "metrics": {"gain": 0.1}}],
    }
    assert call("GET", "/v1/models?limit=1").status == 400


def test_a_version_is_put_live_and_rolled_back(call: Caller) -> None:
    assert call("POST", "/v1/models/m1/promote").json == {"version": "m1", "reason": "put live by hand"}
    assert call("POST", "/v1/models/rollback").json == {"was": "m1", "live": "v0"}
    assert call.answers.asked == [("promote", "m1"), "rollback"]


def test_what_cannot_be_is_a_conflict_and_a_kafka_that_is_away_may_come_back(call: Caller) -> None:
    got = call("POST", "/v1/models/m9/promote")
    assert (got.status, got.json["field"]) == (409, "version")
    assert "known are: m1" in got.json["detail"]
    call.versions.away = True
    got = call("POST", "/v1/models/m1/promote")
    assert (got.status, got.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example", "host": "127.0.0.1"}, {"host": "evil.example"}])
def test_a_page_of_elsewhere_changes_nothing(call: Caller, headers: dict[str, str]) -> None:
    for path in ("/v1/models/m1/promote", "/v1/models/rollback"):
        assert call("POST", path, headers=headers).status == 403
    assert call.answers.asked == []
