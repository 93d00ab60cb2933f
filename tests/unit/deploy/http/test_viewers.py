"""Tests of the route on which a viewer is forgotten: what reaches the log, and what does not."""

from __future__ import annotations

import pytest

from deploy.config.http_settings import HttpConfig
from deploy.http.problem import CONTENT_TYPE
from streaming.errors import LogUnavailable
from streaming.events import ViewerId
from tests.unit.deploy.http.called_api import Caller

AT_MS = 1_764_000_000_000


class FakeErasures:
    """Remembers who was to be forgotten."""

    def __init__(self, away: bool = False) -> None:
        self.erased: list[str] = []
        self._away = away

    def erase(self, viewer: ViewerId) -> int:
        if self._away:
            raise LogUnavailable("no broker answers")
        self.erased.append(viewer)
        return AT_MS


def test_an_erasure_is_accepted_once_the_log_has_it() -> None:
    erasures = FakeErasures()
    got = Caller(erasures=erasures)("DELETE", "/v1/viewers/v%20%2F1")
    assert (got.status, got.json["viewer"], got.json["erased_at_ms"]) == (202, "v /1", AT_MS)
    assert "seconds" in got.json["next"]
    assert erasures.erased == ["v /1"]


def test_without_kafka_nothing_is_accepted() -> None:
    got = Caller(erasures=FakeErasures(away=True))("DELETE", "/v1/viewers/v")
    assert (got.status, got.headers["content-type"], got.headers["retry-after"]) == (503, CONTENT_TYPE, "5")
    assert "twice does no harm" in got.json["detail"]


@pytest.mark.parametrize("viewer", ["x" * 129, "a%FFb"])
def test_what_is_no_id_erases_nobody(viewer: str) -> None:
    erasures = FakeErasures()
    got = Caller(erasures=erasures)("DELETE", f"/v1/viewers/{viewer}")
    assert (got.status, got.json["field"]) == (400, "viewer")
    assert erasures.erased == []


def test_a_parameter_is_refused_and_another_method_is_not_allowed() -> None:
    call = Caller(erasures=FakeErasures())
    assert call("DELETE", "/v1/viewers/v?why=x").status == 400
    assert call("POST", "/v1/viewers/v").status == 405


def test_without_erasures_nobody_is_erased() -> None:
    assert Caller()("DELETE", "/v1/viewers/v").status == 405


def test_the_document_says_that_it_is_accepted() -> None:
    document = Caller(erasures=FakeErasures())("GET", "/openapi.json").json
    assert set(document["paths"]["/v1/viewers/{viewer}"]["delete"]["responses"]) == {
        "202",
        "400",
        "403",
        "503",
        "default",
    }


@pytest.mark.parametrize(
    ("host", "erasure", "erases"),
    [
        ("127.0.0.1", "auto", True), ("localhost", "auto", True), ("::1", "auto", True), ("0.0.0.0", "auto", False),
        ("", "auto", False), ("::", "auto", False), ("10.0.0.1", "auto", False), ("example.com", "auto", False),
        ("0.0.0.0", "on", True), ("127.0.0.1", "off", False),
    ],
)  # fmt: skip
def test_by_default_it_is_there_only_where_nobody_else_reaches_it(host: str, erasure: str, erases: bool) -> None:
    assert HttpConfig(host=host, erasure=erasure).erases is erases  # type: ignore[arg-type]
