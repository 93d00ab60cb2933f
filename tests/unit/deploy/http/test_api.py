"""HTTP: what is asked reaches the answers, and what is wrong is said as RFC 9457 with the field and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
import pytest

from actors.recommend.schema import MAX_EXCLUDED_STREAMERS, Query, RankQuery
from actors.requests.context import MAX_RECENT
from actors.requests.filters import NO_FILTERS, Filters
from deploy.config.http_settings import HttpConfig
from deploy.http.problem import CONTENT_TYPE
from deploy.http.status import Readiness, judge
from tests.unit.deploy.http.called_api import BEHIND, JSON, READY, Caller, FakeLookup

FIELDS = ", ".join(Query.__struct_fields__)
FILTERS = (
    "language, category, mature, tags, tags_match, min_audience, max_audience, min_age_s, max_age_s, max_receipt_age_ms"
)


@pytest.fixture
def call() -> Caller:
    return Caller()


def test_a_request_reaches_the_answers_as_a_query(call: Caller) -> None:
    got = call("POST", "/v1/recommend", b'{"viewer":"v","limit":3,"filters":{"language":"pt"},"explain":true}')
    assert (got.status, got.json["viewer"]) == (200, "v")
    assert call.answers.asked == [Query(viewer="v", limit=3, filters=Filters(language="pt"), explain=True)]
    assert call.metrics.value("requests_total", route="/v1/recommend", status="200") == 1


@pytest.mark.parametrize(
    ("body", "field_", "allowed"),
    [
        (b'{"viewer":"v","limit":101}', "limit", "an integer from 1 to 100"),
        (b'{"viewer":"v","limit":0}', "limit", "an integer from 1 to 100"),
        (b'{"viewer":"v","limit":"3"}', "limit", "an integer from 1 to 100"),
        (b'{"viewer":""}', "viewer", "a text of 1 to 128 characters"),
        (b'{"viewer":7}', "viewer", "a text of 1 to 128 characters"),
        (b"{}", "viewer", "a text of 1 to 128 characters"),
        (b'{"viewer":"v","filters":{"mature":"no"}}', "filters.mature", "true or false or any"),
        (b'{"viewer":"v","filters":{"lang":"pt"}}', "filters.lang", f"an object with {FILTERS}"),
        (b'{"viewer":"v","filters":{"tags":"pt"}}', "filters.tags", "a list of at most 32"),
        (b'{"viewer":"v","filters":{"tags":[""]}}', "filters.tags[0]", "a text of 1 to 200 characters"),
        (b'{"viewer":"v","filters":{"tags_match":"none"}}', "filters.tags_match", "one of all, any"),
        (b'{"viewer":"v","filters":{"min_audience":-1}}', "filters.min_audience", "an integer from 0 to 10000000"),
        (b'{"viewer":"v","filters":{"max_age_s":1.5}}', "filters.max_age_s", "an integer from 0 to 315360000"),
        (b'{"viewer":"v","filters":{"min_age_s":9,"max_age_s":8}}', "filters", f"an object with {FILTERS}"),
        (b'{"viewer":"v","exclude_streamers":[""]}', "exclude_streamers[0]", "a text of 1 to 128 characters"),
        (b'{"viewer":"v","context":{"country":"BR"}}', "context.country", "an object with recent, language"),
        (b'{"viewer":"v","context":{"recent":[1]}}', "context.recent[0]", "a text of 1 to 128 characters"),
        (b'{"viewer":"v","context":{"language":""}}', "context.language", "a text of 1 to 35 characters"),
        (b'{"viewer":"v","foo":1}', "foo", f"an object with {FIELDS}"),
        (b'{"viewer":"v","exclude":[1]}', "exclude[0]", "a text of 0 to 128 characters"),
        (b'{"viewer":"v","limit":2.5}', "limit", "an integer from 1 to 100"),
        (b'{"viewer":"v","limit":2.5', "limit", "an integer from 1 to 100"),
        (b'{"viewer":"v","explain":1.0}', "explain", "true or false"),
        (b'{"viewer":"v","exclude":' + b"[" * 900, "exclude[0]", "a text of 0 to 128 characters"),
        (b"[]", "", f"an object with {FIELDS}"),
        (b"not json", "", 'a JSON object such as {"viewer": "viewer-1", "limit": 20}'),
        (b"", "", 'a JSON object such as {"viewer": "viewer-1", "limit": 20}'),
        (b'{"viewer":"\xff"}', "", 'a JSON object such as {"viewer": "viewer-1", "limit": 20}'),
    ],
)
def test_a_bad_body_is_a_problem_that_names_the_field(call: Caller, body: bytes, field_: str, allowed: str) -> None:
    got = call("POST", "/v1/recommend", body)
    assert got.status == 400
    assert got.headers["content-type"] == CONTENT_TYPE
    assert {"type", "title", "status", "detail", "field", "allowed"} == set(got.json)
    assert (got.json["status"], got.json["field"], got.json["allowed"]) == (400, field_, allowed)
    assert call.answers.asked == []


def test_a_whole_number_with_a_decimal_point_is_an_integer_as_in_json_schema(call: Caller) -> None:
    assert call("POST", "/v1/recommend", b'{"viewer":"v","limit":3.0}').status == 200
    assert call.answers.asked == [Query(viewer="v", limit=3)]


def test_a_body_nested_deeper_than_the_stack_is_a_problem() -> None:
    call = Caller(max_body_bytes=2_000_000)
    for path, body in (
        ("/v1/recommend", b'{"viewer":"v","filters":' + b'{"mature":' * 150_000),
        ("/v1/recommend:batch", b'{"queries":[' + b"[" * 300_000),
    ):
        got = call("POST", path, body)
        assert (got.status, got.headers["content-type"]) == (400, CONTENT_TYPE)


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(call: Caller) -> None:
    got = call("POST", "/v1/recommend", b" " * 3_000)
    assert (got.status, got.json["allowed"]) == (413, "at most 2000 bytes")


def test_parameters_reach_the_rooms(call: Caller) -> None:
    assert call("GET", "/v1/rooms?limit=7&category=Just%20Chatting&mature=false").json == []
    assert call("GET", "/v1/rooms/a/similar?limit=3&language=pt_BR&category=Chess&mature=any").json == []
    similar = Filters(language="pt_BR", category="Chess", mature="any")
    assert call.answers.asked == [(7, Filters(category="Just Chatting", mature=False)), ("a", 3, similar)]


@pytest.mark.parametrize(("text", "mature"), [("any", "any"), ("true", True), ("false", False)])
def test_mature_rooms_are_asked_for_on_every_path(call: Caller, text: str, mature: bool | str) -> None:
    wanted = Filters(mature=mature)  # type: ignore[arg-type]
    call("GET", f"/v1/rooms?mature={text}")
    call("GET", f"/v1/rooms/a/similar?mature={text}")
    call("POST", "/v1/recommend", b'{"viewer":"v","filters":{"mature":%b}}' % msgspec.json.encode(mature))
    assert call.answers.asked == [(20, wanted), ("a", 20, wanted), Query(viewer="v", filters=wanted)]
    assert call("GET", "/v1/rooms?mature=some").json["allowed"] == "true or false or any"


def test_every_wish_reaches_the_lists(call: Caller) -> None:
    wishes = "min_audience=1&max_audience=9&min_age_s=2&max_age_s=8&max_receipt_age_ms=7&exclude_streamers=s%201,s2,"
    call("GET", f"/v1/rooms?tags=Retro,%20b&tags_match=any&{wishes}")
    call("GET", f"/v1/rooms/a/similar?{wishes}")
    call("GET", f"/v1/trending?limit=7&{wishes}")
    wanted = Filters(min_audience=1, max_audience=9, min_age_s=2, max_age_s=8, max_receipt_age_ms=7)
    tagged = msgspec.structs.replace(wanted, tags=("Retro", " b"), tags_match="any")
    assert call.answers.asked == [
        (20, tagged, "s 1", "s2"), ("a", 20, wanted, "s 1", "s2"), ("trending", 7, wanted, "s 1", "s2")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "field_"),
    [
        ("min_audience=3&max_audience=2", ""),
        ("tags=" + ",".join(map(str, range(33))), "tags"),
        ("tags=" + "x" * 201, "tags"),
        ("tags=" + "x," * 5_000, "tags"),
        ("exclude_streamers=" + ",".join(map(str, range(201))), "exclude_streamers"),
        ("min_age_s=x", "min_age_s"),
    ],
)
def test_a_wish_that_cannot_be_is_a_problem(call: Caller, parameters: str, field_: str) -> None:
    got = call("GET", f"/v1/rooms?{parameters}")
    assert (got.status, got.headers["content-type"], got.json["field"]) == (400, CONTENT_TYPE, field_)
    assert call.answers.asked == []


def test_a_bad_parameter_is_a_problem(call: Caller) -> None:
    got = call("GET", "/v1/rooms?limit=many")
    assert (got.status, got.json["field"], got.json["allowed"]) == (400, "limit", "an integer from 1 to 100")


def test_an_unknown_room_is_not_found(call: Caller) -> None:
    got = call("GET", "/v1/rooms/gone")
    assert (got.status, got.json["field"]) == (404, "room")


def test_an_id_may_hold_an_escaped_slash(call: Caller) -> None:
    call("GET", "/v1/rooms/a%2Fsimilar")
    call("GET", "/v1/rooms/a%2Fb/similar?limit=2")
    assert call.answers.asked == ["a/similar", ("a/b", 2, NO_FILTERS)]


def test_an_unknown_path_and_a_wrong_method_say_what_is_there(call: Caller) -> None:
    path, method = call("GET", "/v2/recommend"), call("GET", "/v1/recommend")
    assert (path.status, path.json["field"]) == (404, "path")
    assert (method.status, method.json["allowed"]) == (405, "POST")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/recommend", "POST, OPTIONS"),
        ("HEAD", "/v1/recommend", "POST, OPTIONS"),
        ("PUT", "/v1/rooms", "GET, POST, HEAD, OPTIONS"),
        ("GET", "/v1/chat", "POST, OPTIONS"),
        ("DELETE", "/v1/rooms/r", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/rooms/r/similar", "GET, HEAD, OPTIONS"),
        ("PATCH", "/readyz", "GET, HEAD, OPTIONS"),
        ("TRACE", "/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_told_which_are_right(call: Caller, method: str, path: str, allow: str) -> None:
    got = call(method, path)
    assert (got.status, got.headers["allow"]) == (405, allow)
    asked = call("OPTIONS", path)
    assert (asked.status, asked.headers["allow"], asked.body) == (204, allow, b"")
    assert "content-length" not in asked.headers
    assert call("OPTIONS", "/nowhere").status == 404


def test_options_of_everything_name_every_method(call: Caller) -> None:
    got = call("OPTIONS", "*")
    assert (got.status, set(got.headers["allow"].split(", "))) == (204, {"GET", "POST", "HEAD", "OPTIONS"})


@pytest.mark.parametrize(
    ("headers", "field_"),
    [
        ({"content-type": "text/plain"}, "content-type"),
        ({"content-type": "multipart/form-data; boundary=x"}, "content-type"),
        ({"content-type": "application/msgpack"}, "content-type"),
        ({"content-type": "application/json; charset=utf-16"}, "content-type"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, "content-encoding"),
    ],
)
def test_a_body_of_another_type_or_encoding_is_refused_with_what_is_taken(
    call: Caller, headers: Mapping[str, str], field_: str
) -> None:
    got = call("POST", "/v1/recommend", b'{"viewer":"v"}', headers)
    assert (got.status, got.headers["content-type"], got.json["field"]) == (415, CONTENT_TYPE, field_)
    assert got.headers["accept" if field_ == "content-type" else "accept-encoding"]
    assert call.answers.asked == []


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/vnd.x+json",
        "application/x-www-form-urlencoded",
    ],
)
def test_json_is_taken_under_each_of_its_names_and_those_that_callers_send_unasked(
    call: Caller, content_type: str
) -> None:
    assert call("POST", "/v1/recommend", b'{"viewer":"v"}', {"content-type": content_type}).status == 200
    assert call("POST", "/v1/recommend", b'{"viewer":"v"}').status == 200


def test_a_body_that_does_not_arrive_in_time_is_a_408(call: Caller) -> None:
    got = call("POST", "/v1/recommend", b'{"viewer":', JSON, ends="never")
    assert (got.status, got.headers["content-type"], got.headers["connection"]) == (408, CONTENT_TYPE, "close")


def test_half_a_body_is_never_taken_for_a_whole_one(call: Caller) -> None:
    assert call("POST", "/v1/recommend", b'{"viewer":"v"}', JSON, ends="disconnect").status == 400
    assert call.answers.asked == []


def test_a_length_beyond_the_limit_is_refused_unread(call: Caller) -> None:
    got = call("POST", "/v1/recommend", b"", {"content-length": "2001"}, ends="never")
    assert (got.status, got.headers["connection"]) == (413, "close")


@pytest.mark.parametrize("character", ["a", "\u00e9", "\u4e2d", "\U0001f602"])
@pytest.mark.parametrize("escaped", [True, False])
def test_the_longest_legal_request_is_not_too_long_in_any_script(character: str, escaped: bool) -> None:
    call = Caller(max_body_bytes=HttpConfig().max_body_bytes)
    query = {
        "viewer": character * 128,
        "exclude": [character * 128] * 1_000,
        "exclude_streamers": [character * 128] * MAX_EXCLUDED_STREAMERS,
        "filters": {"language": character * 35, "category": character * 200, "tags": [character * 200] * 32},
        "context": {"recent": [character * 128] * MAX_RECENT, "language": character * 35},
        "limit": 100,
        "explain": True,
    }
    body = json.dumps(query, ensure_ascii=escaped).encode()
    assert call("POST", "/v1/recommend", body, JSON).status == 200


@pytest.mark.parametrize(
    ("target", "field_"),
    [
        ("/v1/rooms?limit=1&limit=2", "limit"),
        ("/v1/rooms?language=pt&limit=1&language=pt", "language"),
        ("/v1/rooms?language=%ff", ""),
        ("/v1/rooms?language=\xff", ""),
        ("/v1/rooms?" + "&".join(f"p{n}=1" for n in range(200)), ""),
        ("/v1/rooms?lang=pt", "lang"),
        ("/v1/rooms?mature=null", "mature"),
        ("/v1/rooms/r?limit=3", "limit"),
    ],
)
def test_a_query_string_that_says_two_things_or_nothing_is_a_problem(call: Caller, target: str, field_: str) -> None:
    got = call("GET", target)
    assert (got.status, got.headers["content-type"], got.json["field"]) == (400, CONTENT_TYPE, field_)
    assert call.answers.asked == []


def test_a_parameter_beside_a_body_is_not_passed_over_in_silence(call: Caller) -> None:
    assert call("POST", "/v1/recommend?limit=3", b'{"viewer":"v"}', JSON).json["field"] == "limit"
    assert call("GET", "/healthz?nocache=1").status == 200  # to a probe anything may be appended


@pytest.mark.parametrize("path", ["/metrics", "/v1/status"])
def test_what_is_for_whom_runs_the_system_is_not_at_the_port_of_callers(call: Caller, path: str) -> None:
    got = call("GET", path)
    assert (got.status, "http.admin_port" in got.json["detail"]) == (404, True)


def test_a_bug_is_a_500_that_tells_nothing(call: Caller) -> None:
    got = call("POST", "/v1/recommend", b'{"viewer":"breaks"}')
    assert (got.status, got.headers["content-type"]) == (500, CONTENT_TYPE)
    assert b"bug" not in got.body


def test_a_replica_that_is_not_ready_says_why_and_how_far_it_is_behind_as_a_problem() -> None:
    assert Caller(READY)("GET", "/readyz").status == 200
    got = Caller(BEHIND)("GET", "/readyz")
    assert (got.status, got.headers["content-type"]) == (503, CONTENT_TYPE)
    assert (got.json["lag"], got.json["detail"], got.json["status"]) == ({"room-states": 900}, "still reading", 503)
    assert msgspec.convert(got.json, Readiness) == BEHIND
    assert Caller(BEHIND)("GET", "/healthz").status == 200


def test_given_rooms_are_ranked_and_a_viewer_who_was_let_go_is_looked_up_first() -> None:
    lookup = FakeLookup()
    call = Caller(lookup=lookup)
    lookup.answers = call.answers
    assert call("POST", "/v1/rank", b'{"viewer":"v","rooms":["a","b","a"],"explain":true}').status == 200
    assert call("POST", "/v1/rank", b'{"viewer":"gone","rooms":["a"]}').status == 200
    assert lookup.fetched == [("gone", 1)]
    first, second = call.answers.asked
    assert (first, second.viewer) == (RankQuery(viewer="v", rooms=("a", "b", "a"), explain=True), "gone")


@pytest.mark.parametrize(
    ("body", "field_"),
    [
        (b'{"viewer":"v"}', "rooms"),
        (b'{"viewer":"v","rooms":[]}', "rooms"),
        (b'{"viewer":"v","rooms":[""]}', "rooms[0]"),
        (b'{"viewer":"v","rooms":["' + b'","'.join([b"x"] * 1_001) + b'"]}', "rooms"),
        (b'{"viewer":"v","rooms":["a"],"limit":3}', "limit"),
    ],
)
def test_what_cannot_be_ranked_is_a_problem(body: bytes, field_: str) -> None:
    call = Caller(max_body_bytes=HttpConfig().max_body_bytes)
    got = call("POST", "/v1/rank", body)
    assert (got.status, got.json["field"]) == (400, field_)
    assert call.answers.asked == []


def test_an_unknown_viewer_is_not_found_and_one_who_was_let_go_is_looked_up_first() -> None:
    lookup = FakeLookup()
    call = Caller(lookup=lookup)
    lookup.answers = call.answers
    got = call("GET", "/v1/viewers/a%2Fb")
    assert (got.status, got.headers["content-type"], got.json["field"]) == (404, CONTENT_TYPE, "viewer")
    assert call("GET", "/v1/viewers/gone").status == 404
    assert lookup.fetched == [("gone", 1)]
    assert call.answers.asked == ["a/b", "gone"]
    assert call("GET", "/v1/viewers/v?limit=1").json["field"] == "limit"


@pytest.mark.parametrize(
    ("age_s", "lag", "expected"),
    [
        (0.1, 5, ("current", True)),
        (0.1, 1_000_000, ("behind", True)),
        (60.0, 5, ("out of touch", True)),
        (3_600.0, 5, ("lost", False)),
        (float("inf"), 0, ("lost", False)),
    ],
)
def test_a_replica_is_asked_for_as_long_as_its_answers_are_good(
    age_s: float, lag: int, expected: tuple[str, bool]
) -> None:
    state, ready, reason = judge(
        has_read=True, contact_age_s=age_s, lag=lag, ready_contact_s=10.0, unready_contact_s=900.0
    )
    assert (state, ready) == expected
    assert bool(reason) == (state != "current")
    assert judge(has_read=False, contact_age_s=0.1, lag=0, ready_contact_s=10.0, unready_contact_s=900.0)[:2] == (
        "reading",
        False,
    )


def test_head_has_the_headers_of_get_and_no_body(call: Caller) -> None:
    got = call("HEAD", "/healthz")
    assert (got.status, got.body) == (200, b"")
    assert int(got.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/recommend"),
        ("POST", "/v1/rank"),
        ("GET", "/v1/rooms"),
        ("GET", "/v1/rooms/r"),
        ("GET", "/v1/rooms/r/similar"),
    ],
)
def test_a_replica_that_has_not_read_its_tables_says_so_instead_of_answering(method: str, path: str) -> None:
    call = Caller(has_read=False)
    got = call(method, path, b'{"viewer": "v"}')
    assert (got.status, got.headers["content-type"]) == (503, CONTENT_TYPE)
    assert call.answers.asked == []
    assert call("GET", "/healthz").status == 200


def test_only_a_viewer_who_was_let_go_is_looked_up_and_before_the_answer() -> None:
    lookup = FakeLookup()
    call = Caller(lookup=lookup)
    lookup.answers = call.answers
    assert call("POST", "/v1/recommend", b'{"viewer": "held"}').status == 200
    assert call("POST", "/v1/recommend", b'{"viewer": "gone-1"}').json["viewer"] == "gone-1"
    assert lookup.fetched == [("gone-1", 1)]
    assert [query.viewer for query in call.answers.asked] == ["held", "gone-1"]


def test_known_viewers_are_named_and_how_many_is_bounded(call: Caller) -> None:
    assert call("GET", "/v1/viewers?limit=1").json == {"held": 2, "viewers": ["v2"]}
    assert call("GET", "/v1/viewers").json["viewers"] == ["v2", "v1"]
    assert call("GET", "/v1/viewers?limit=101").json["allowed"] == "an integer from 1 to 100"


def test_a_page_of_elsewhere_learns_no_names(call: Caller) -> None:
    got = call("GET", "/v1/viewers", headers={"origin": "http://evil.example", "host": "127.0.0.1:8000"})
    assert (got.status, got.json["field"]) == (403, "origin")
    assert call.answers.asked == []


def test_a_map_is_asked_for_with_its_axes(call: Caller) -> None:
    assert call("GET", "/v1/map?limit=7&mature=any&axes=AAAA").json["axes"] == "AAAA"
    assert call("GET", "/v1/map").status == 200
    assert call.answers.asked == [("map", 7, "any", "AAAA"), ("map", 300, None, "")]
    assert call("GET", "/v1/map?limit=1001").json["field"] == "limit"
    assert call("GET", "/v1/map?axes=" + "A" * 9_000).status == 400
