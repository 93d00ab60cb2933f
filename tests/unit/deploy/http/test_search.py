"""Tests of a search over HTTP: its text is bounded and readable, and without the Encoder it is a 503 that says when."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from actors.answers.search import Asked
from actors.recommend.schema import Query
from actors.requests.asked_text import MAX_ASKED_LENGTH
from actors.requests.filters import Filters
from actors.requests.steer import Steer
from deploy.http.problem import CONTENT_TYPE
from tests.unit.deploy.http.called_api import Caller


@pytest.fixture
def call() -> Caller:
    return Caller()


def test_a_text_is_encoded_once_and_every_wish_reaches_the_search(call: Caller) -> None:
    wishes = "language=pt&category=Chess&tags=a,b&mature=any&min_audience=1&exclude_streamers=s1,s2&cursor="
    for _ in range(2):
        got = call("GET", f"/v1/search?q=Bake%20%20bread%0A&limit=3&{wishes}")
        assert (got.status, got.json["text"], got.json["encoder_version"]) == (200, "Bake bread", "fake")
    assert call.texts.fetched == ["Bake bread"]
    filters = Filters(language="pt", category="Chess", tags=("a", "b"), mature="any", min_audience=1)
    assert call.answers.asked == [Asked("Bake bread", 3, filters, ("s1", "s2"), "")] * 2


@pytest.mark.parametrize(
    ("parameters", "field_", "detail"),
    [
        ("", "q", "required field `q`"),
        ("q=", "q", "length >= 1"),
        ("q=%20%0A", "q", "nothing in it"),
        ("q=%E2%80%8B", "q", "nothing in it"),
        ("q=" + "x" * (MAX_ASKED_LENGTH + 1), "q", f"length <= {MAX_ASKED_LENGTH}"),
        ("q=%ff%fe", "", "cannot be read"),
        ("q=%ED%A0%80", "", "cannot be read"),
        ("q=a&q=b", "q", "twice"),
        ("q=a&limit=0", "limit", ">= 1"),
        ("q=a&like=b", "like", "unknown field"),
        ("q=a&min_age_s=3&max_age_s=2", "", "no room is both"),
    ],
)
def test_what_cannot_be_searched_for_is_a_problem(call: Caller, parameters: str, field_: str, detail: str) -> None:
    got = call("GET", f"/v1/search?{parameters}")
    assert (got.status, got.headers["content-type"], got.json["field"]) == (400, CONTENT_TYPE, field_)
    assert detail in got.json["detail"]
    assert got.json["allowed"]
    assert call.texts.fetched == call.answers.asked == []


def test_a_text_as_long_as_allowed_is_searched_for_in_any_script(call: Caller) -> None:
    text = "".join(chr(0x4E00 + 37 * number) for number in range(MAX_ASKED_LENGTH))
    assert call("GET", "/v1/search?q=" + quote(text)).status == 200
    assert call.texts.fetched == [text]


def test_without_the_encoder_a_search_is_refused_with_a_time_to_come_back(call: Caller) -> None:
    got = call("GET", "/v1/search?q=away")
    assert (got.status, got.headers["retry-after"], got.headers["content-type"]) == (503, "1", CONTENT_TYPE)
    assert "in time" in got.json["detail"]
    assert call.answers.asked == []


def test_a_steered_recommendation_waits_for_its_text_and_is_answered_without_it_too(call: Caller) -> None:
    for text in ("pottery", "pottery", "away"):
        body = json.dumps({"viewer": "v", "steer": {"text": text}})
        assert call("POST", "/v1/recommend", body.encode()).status == 200
    assert call.texts.fetched == ["pottery", "away"]
    asked = [Query(viewer="v", steer=Steer(text=text)) for text in ("pottery", "pottery", "away")]
    assert call.answers.asked == asked
    body = json.dumps({"viewer": "v", "steer": {"liked": ["a"], "disliked": ["b"], "strength": 2}})
    assert call("POST", "/v1/recommend", body.encode()).status == 200
    assert call.answers.asked[-1].steer == Steer(liked=("a",), disliked=("b",), strength=2)


@pytest.mark.parametrize(
    ("steer", "field_"),
    [
        ({}, "steer"),
        ({"text": ""}, "steer.text"),
        ({"text": "\u200b"}, "steer.text"),
        ({"text": "x" * (MAX_ASKED_LENGTH + 1)}, "steer.text"),
        ({"text": "a", "strength": 5}, "steer.strength"),
        ({"liked": [str(number) for number in range(21)]}, "steer.liked"),
        ({"disliked": [""]}, "steer.disliked[0]"),
        ({"more": ["a"]}, "steer.more"),
    ],
    ids=["empty", "no text", "says nothing", "long", "strong", "many", "no id", "unknown"],
)
def test_a_steer_that_cannot_be_is_a_problem_that_names_the_field(call: Caller, steer: object, field_: str) -> None:
    got = call("POST", "/v1/recommend", json.dumps({"viewer": "v", "steer": steer}).encode())
    assert (got.status, got.json["field"]) == (400, field_)
    assert call.texts.fetched == []


def test_half_a_surrogate_pair_is_no_text(call: Caller) -> None:
    got = call("POST", "/v1/recommend", b'{"viewer":"v","steer":{"text":"\\ud800"}}')
    assert (got.status, got.headers["content-type"]) == (400, CONTENT_TYPE)


def test_the_texts_of_a_batch_are_encoded_before_it_is_answered(call: Caller) -> None:
    steers = [{"text": "a"}, {"text": "away"}, {"text": "a"}, {"liked": ["x"]}, {"text": "\u200b"}, {}]
    queries = [{"viewer": "v", "steer": steer} for steer in steers]
    got = call("POST", "/v1/recommend:batch", json.dumps({"queries": queries}).encode())
    assert call.texts.fetched == ["a", "away"]
    assert [[*one] for one in got.json["results"]][:4] == [["answer"]] * 4


def test_the_text_is_a_parameter_that_must_be_there(call: Caller) -> None:
    document = call("GET", "/openapi.json").json
    parameters = {one["name"]: one for one in document["paths"]["/v1/search"]["get"]["parameters"]}
    assert [name for name, one in parameters.items() if one["required"]] == ["q"]
    assert parameters["q"]["schema"]["maxLength"] == MAX_ASKED_LENGTH
