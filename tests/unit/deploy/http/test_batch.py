"""Tests of many recommendations in one request: each has its own answer or problem, and others have their turn."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from actors.recommend.schema import Query
from deploy.http.route import Request, Response
from deploy.http.routes.batch import MAX_QUERIES, BatchAnswer, batch_routes
from tests.unit.deploy.http.called_api import Caller, FakeAnswers, FakeLookup, FakeTexts


def batch(call: Caller, queries: list[Any]) -> list[dict[str, Any]]:
    got = call("POST", "/v1/recommend:batch", json.dumps({"queries": queries}).encode())
    assert got.status == 200
    assert len(msgspec.json.decode(got.body, type=BatchAnswer, strict=True).results) == len(queries)
    results: list[dict[str, Any]] = got.json["results"]
    return results


def test_each_query_has_its_own_answer_or_problem_in_order() -> None:
    call = Caller()
    queries = [{"viewer": "a", "limit": 3}, {"viewer": "b", "limit": 0}, 7, {"viewer": "c", "foo": 1}, {"viewer": "d"}]
    results = batch(call, queries)
    assert [one.get("answer", {}).get("viewer") for one in results] == ["a", None, None, None, "d"]
    problems = [one["problem"] for one in results if "problem" in one]
    assert [one["field"] for one in problems] == ["limit", "", "foo"]
    assert all(one["status"] == 400 and one["allowed"] for one in problems)
    assert call.answers.asked == [Query(viewer="a", limit=3), Query(viewer="d")]


def test_a_query_that_fails_is_a_problem_that_says_nothing_and_the_others_are_answered() -> None:
    results = batch(Caller(), [{"viewer": "a"}, {"viewer": "breaks"}, {"viewer": "c"}])
    assert [[*one] for one in results] == [["answer"], ["problem"], ["answer"]]
    assert results[1]["problem"]["status"] == 500
    assert "bug" not in json.dumps(results)


@pytest.mark.parametrize(
    ("body", "field_"),
    [
        (b'{"queries":[]}', "queries"),
        (b'{"queries":[' + b",".join([b"{}"] * (MAX_QUERIES + 1)) + b"]}", "queries"),
        (b'{"queries":{}}', "queries"),
        (b'{"viewer":"v"}', "viewer"),
        (b"{}", "queries"),
        (b'{"queries":[{]}', ""),
    ],
)
def test_a_batch_that_cannot_be_read_is_one_problem(body: bytes, field_: str) -> None:
    call = Caller()
    got = call("POST", "/v1/recommend:batch", body)
    assert (got.status, got.json["field"]) == (400, field_)
    assert call.answers.asked == []


def test_viewers_who_were_let_go_are_looked_up_once_each_before_any_answer() -> None:
    lookup = FakeLookup()
    call = Caller(lookup=lookup)
    lookup.answers = call.answers
    gone = [f"gone-{number}" for number in range(40)]
    batch(call, [{"viewer": viewer} for viewer in ("held", *gone, "gone-1")])
    assert sorted(lookup.fetched) == sorted((viewer, 0) for viewer in gone)
    assert len(call.answers.asked) == 42


def test_others_are_answered_between_two_queries() -> None:
    answers = FakeAnswers()
    (route,) = batch_routes(answers, FakeTexts())
    body = json.dumps({"queries": [{"viewer": f"b{number}"} for number in range(5)]}).encode()

    async def other() -> None:
        for _ in range(5):
            answers.asked.append("another request")
            await asyncio.sleep(0)

    async def both() -> None:
        response = route.handle(Request({}, {}, body))
        assert not isinstance(response, Response)
        await asyncio.gather(response, other())

    asyncio.run(both())
    order = ["other" if one == "another request" else "batch" for one in answers.asked]
    assert order == ["other", "batch"] * 5
