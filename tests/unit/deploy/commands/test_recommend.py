"""Tests of what `tidecast recommend` asks for what was typed, without a system."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from deploy import cli
from deploy.commands import recommend
from deploy.http.api import Api
from deploy.http.routes.public import routes
from streaming.metrics import MemoryMetrics
from tests.served_api import served
from tests.unit.deploy.http.called_api import READY, FakeAnswers, behind
from tidecast_client import Answer, Context, Filters, Goals, Query, Steer, Steered


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


def test_goals_a_text_and_a_version_are_asked_for(asked: list[Query]) -> None:
    assert cli.main(["recommend", "v", "--goals", "stay:4,leave:2", "--towards", "chess", "--version", "v0"]) == 0
    assert cli.main(["recommend", "v", "--goals", "stay-long"]) == 0
    steered = Query(viewer="v", limit=10, goals=Goals(stay=4, leave=2), steer=Steer(text="chess"), version="v0")
    named = Query(viewer="v", limit=10, goals="stay-long")
    assert asked == [msgspec.structs.replace(query, shown=False) for query in (steered, named)]


@pytest.mark.parametrize("goals", ["stay:x", "fame:1", "stay:1,", "stay:1,stay:1", "stay:inf"])
def test_goals_that_are_none_are_one_line(asked: list[Query], capsys: pytest.CaptureFixture[str], goals: str) -> None:
    assert cli.main(["recommend", "v", "--goals", goals]) == 2
    assert asked == []
    (line,) = capsys.readouterr().err.splitlines()
    assert "goals" in line


def test_what_had_no_effect_is_said() -> None:
    answer = Answer(
        request_id="r", viewer="v", known=True, model_version="v0", generated_at_ms=1, live_rooms=0, rooms=[],
        goals_used=False, steer=Steered(text="unavailable", ended=[], unknown=[]),
    )  # fmt: skip
    learned = msgspec.structs.replace(answer, goals_used=True, goals_ignored=["leave"], steer=msgspec.UNSET)
    assert "the goals have no effect: v0" in said(answer)
    assert "the Encoder is away" in said(answer)
    assert "without effect: leave, which v0 has not learned" in said(learned)
    assert "effect" not in said(msgspec.structs.replace(learned, goals_ignored=msgspec.UNSET))


def said(answer: Answer) -> str:
    out = Console(width=200, file=io.StringIO())
    out.print(recommend.picture(answer, 200))
    return out.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_bounds_that_contradict_each_other_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(routes(behind(FakeAnswers()), lambda: READY), 2_000_000, MemoryMetrics())
    with served(api) as port:
        monkeypatch.setenv("TIDECAST_HTTP__PORT", str(port))
        assert cli.main(["recommend", "v", "--min-audience", "3", "--max-audience", "2"]) == 2
    assert "min_audience 3 is above max_audience 2" in capsys.readouterr().err
