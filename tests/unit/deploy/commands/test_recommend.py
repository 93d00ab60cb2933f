"""Tests of what `tidecast recommend` asks for what was typed, without a system."""

from __future__ import annotations

from typing import Any

import pytest

from deploy import cli
from deploy.commands import recommend
from deploy.http.api import Api
from deploy.http.routes.public import routes
from streaming.metrics import MemoryMetrics
from tests.served_api import served
from tests.unit.deploy.http.called_api import READY, FakeAnswers, behind
from tidecast_client import Answer, Context, Filters, Query


class FakeClient:
    """Keeps what it is asked."""

    asked: list[Query]

    def __init__(self, _url: str, *, token: str) -> None:
        """Asks nobody."""

    def recommend(self, viewer: str, **wishes: Any) -> Answer:
        self.asked.append(Query(viewer=viewer, **wishes))
        return Answer(
            request_id="r", viewer=viewer, known=False, model_version="v0", generated_at_ms=1, live_rooms=0, rooms=[]
        )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Query]:
    queries: list[Query] = []
    monkeypatch.setattr(FakeClient, "asked", queries, raising=False)
    monkeypatch.setattr(recommend, "Client", FakeClient)
    return queries


def test_every_wish_that_is_typed_is_asked(asked: list[Query], capsys: pytest.CaptureFixture[str]) -> None:
    words = "recommend v --tag retro --tag b --tags-match any --min-audience 1 --max-audience 9 --min-age 2 --max-age 8"
    more = "--max-receipt-age 7 --exclude-streamer s --recent r1 --recent r2 --prefer-language pt --json"
    assert cli.main([*words.split(), *more.split()]) == 0
    wanted = Filters(
        tags=["retro", "b"], tags_match="any", min_audience=1, max_audience=9, min_age_s=2, max_age_s=8,
        max_receipt_age_ms=7,
    )  # fmt: skip
    context = Context(recent=["r1", "r2"], language="pt")
    assert asked == [
        Query(viewer="v", limit=10, filters=wanted, exclude_streamers=["s"], context=context, shown=False)
    ]  # who looks here is no viewer: nothing was shown to one
    assert '"viewer": "v"' in capsys.readouterr().out


def test_bounds_that_contradict_each_other_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(routes(behind(FakeAnswers()), lambda: READY), 2_000_000, MemoryMetrics())
    with served(api) as port:
        monkeypatch.setenv("TIDECAST_HTTP__PORT", str(port))
        assert cli.main(["recommend", "v", "--min-audience", "3", "--max-audience", "2"]) == 2
    assert "min_audience 3 is above max_audience 2" in capsys.readouterr().err
