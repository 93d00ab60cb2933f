"""Tests of the route by which lists are pushed: what it takes, what it refuses, and its form."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from actors.recommend.schema import Query
from actors.requests.context import Context
from actors.requests.filters import Filters
from actors.requests.goals import Goals
from tests.unit.deploy.http.called_api import BEHIND, Caller, FakeLookup, Got


def stream(target: str, headers: Mapping[str, str] | None = None, *, caller: Caller | None = None) -> Got:
    return (caller or Caller())("GET", f"/v1/stream/{target}", headers=headers, ends="stays")


def test_it_is_a_stream_of_events_that_nobody_keeps_or_collects() -> None:
    got = stream("v")
    assert got.status == 200
    assert got.headers["content-type"] == "text/event-stream"
    assert got.headers["cache-control"] == "no-store"
    assert got.headers["x-accel-buffering"] == "no"
    assert "content-length" not in got.headers
    retry, event, end = got.body.decode().split("\n\n")
    assert (retry.startswith("retry: "), end) == (True, "")
    assert event.startswith("event: list\nid: ")
    assert event.endswith("\ndata: {}")


def test_a_head_has_no_stream() -> None:
    got = Caller()("HEAD", "/v1/stream/v")
    assert (got.status, got.body) == (200, b"")
    assert got.headers["content-type"] == "text/event-stream"


def test_parameters_are_the_wishes_of_a_recommendation() -> None:
    caller = Caller()
    wishes = "limit=10&language=pt&tags=a,b&min_audience=3&exclude=r1,r2&exclude_streamers=s1"
    assert stream(f"v%2F1?{wishes}&recent=s2,r3&preferred_language=en&max_s=0.01", caller=caller).status == 200
    filters = Filters(language="pt", tags=("a", "b"), min_audience=3)
    context = Context(recent=("s2", "r3"), language="en")
    asked = Query(
        viewer="v/1", limit=10, exclude=["r1", "r2"], exclude_streamers=("s1",), filters=filters, context=context
    )
    assert caller.answers.asked == [(asked, 2)]


def test_goals_are_weights_in_one_text() -> None:
    caller = Caller()
    assert stream("v?goals=enter:0,stay:4,leave:2.5&max_s=0.01", caller=caller).status == 200
    assert [query.goals for query, _ in caller.answers.asked] == [Goals(enter=0, stay=4, leave=2.5)]


def test_a_list_that_a_client_has_is_not_sent_again_by_header_or_parameter() -> None:
    event = stream("v").body.decode().split("\n\n")[1]
    had = event.split("\n")[1].removeprefix("id: ")
    assert b"event" not in stream("v", {"last-event-id": had}).body
    assert b"event" not in stream(f"v?last_event_id={had}").body
    assert b"event: list" in stream("w", {"last-event-id": had}).body


def test_a_profile_that_was_let_go_is_looked_up_before_the_first_list() -> None:
    lookup = FakeLookup()
    caller = Caller(lookup=lookup)
    lookup.answers = caller.answers
    assert stream("gone-1", caller=caller).status == 200
    assert lookup.fetched == [("gone-1", 0)]


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("v?limit=0", "limit"),
        ("v?nonsense=1", "nonsense"),
        ("v?max_s=0", "max_s"),
        ("v?max_s=x", "max_s"),
        ("v?min_audience=3&max_audience=2", ""),
        ("v?recent=" + ",".join(map(str, range(31))), "recent"),
        ("v" * 129, "viewer"),
        ("v?goals=nobodys", "goals"),
        ("v?goals=stay:x", "goals"),
        ("v?goals=stay:nan", "goals"),
        ("v?goals=stay:101", "goals"),
        ("v?goals=stay:1,stay:2", "goals"),
        ("v?goals=fame:1", "goals"),
        ("v?goals=enter:0", "goals"),
        ("v?goals=stay:1,", "goals"),
    ],
    ids=[
        *("limit", "unknown", "no time", "no number", "bounds", "too many", "viewer", "no such goals"),
        *("no weight", "not a number", "too much", "twice", "no such goal", "worth nothing", "nothing after a comma"),
    ],
)
def test_a_bad_request_is_a_problem_and_no_stream(target: str, field: str) -> None:
    got = stream(target)
    assert (got.status, got.json["field"]) == (400, field)
    assert got.headers["content-type"] == "application/problem+json"


def test_a_page_of_an_allowed_origin_may_read_it() -> None:
    got = stream("v", {"origin": "https://shop.example"}, caller=Caller(cors_origins=["https://shop.example"]))
    assert got.headers["access-control-allow-origin"] == "https://shop.example"


def test_a_replica_that_still_reads_its_tables_has_no_streams() -> None:
    assert stream("v", caller=Caller(BEHIND, has_read=False)).status == 503


def test_the_document_says_what_is_sent() -> None:
    operation = msgspec.json.decode(Caller()("GET", "/openapi.json").body)["paths"]["/v1/stream/{viewer}"]["get"]
    assert [*operation["responses"]["200"]["content"]] == ["text/event-stream"]
    assert {one["name"]: one["in"] for one in operation["parameters"]}["Last-Event-ID"] == "header"
    assert "`ended`" in operation["description"]
