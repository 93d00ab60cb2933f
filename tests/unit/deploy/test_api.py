"""HTTP: what is asked reaches the answers, and what is wrong is said as RFC 9457 with the field and what is allowed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from actors.answer import Answer, Filters, Item, Query, Room
from deploy.api import Api, HttpConfig
from deploy.problem import CONTENT_TYPE
from deploy.routes import routes
from deploy.status import Readiness, SystemStatus
from streaming.errors import ConfigError, UnknownRoom
from streaming.metrics import MemoryMetrics

READY = Readiness(ready=True, reason="", lag={"room-states": 0}, contact_age_s=0.1, live_rooms=3)
BEHIND = Readiness(ready=False, reason="still reading", lag={"room-states": 900}, contact_age_s=0.1, live_rooms=3)


@dataclass
class FakeAnswers:
    """Remembers what it was asked."""

    asked: list[Any] = field(default_factory=list)

    def recommend_json(self, query: Query) -> bytes:
        self.asked.append(query)
        if query.viewer == "breaks":
            raise ZeroDivisionError("a bug")
        answer = Answer(
            request="r",
            viewer=query.viewer,
            known=False,
            model_version="v0",
            generated_at_ms=1,
            live_rooms=0,
            rooms=[],
        )
        return msgspec.json.encode(answer)

    def rooms(self, limit: int, filters: Filters | None = None) -> list[Room]:
        self.asked.append((limit, filters))
        return []

    def room(self, room: str) -> Room:
        self.asked.append(room)
        raise UnknownRoom(f"room {room} is not live")

    def similar(self, room: str, limit: int) -> list[Item]:
        self.asked.append((room, limit))
        return []


@dataclass
class FakeLookup:
    """Wants every viewer whose name begins with "gone"; notes who was fetched, and what had been answered by then."""

    answers: FakeAnswers | None = None
    fetched: list[tuple[str, int]] = field(default_factory=list)

    def wanted(self, viewer: str) -> bool:
        return viewer.startswith("gone")

    async def fetch(self, viewer: str) -> None:
        await asyncio.sleep(0)
        assert self.answers is not None
        self.fetched.append((viewer, len(self.answers.asked)))


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Speaks ASGI to an Api as a server would."""

    def __init__(
        self, readiness: Readiness = READY, *, has_read: bool = True, lookup: FakeLookup | None = None
    ) -> None:
        self.answers = FakeAnswers()
        self.metrics = MemoryMetrics()
        status = SystemStatus(at_ms=1, processes=[])
        table = routes(self.answers, lambda: readiness, lambda: status, lambda: b"# metrics\n", lookup)
        self._api = Api(table, 2_000, self.metrics, lambda: has_read)

    def __call__(self, method: str, target: str, body: bytes = b"") -> Got:
        return asyncio.run(self._call(method, target, body))

    async def _call(self, method: str, target: str, body: bytes) -> Got:
        raw, _, query = target.partition("?")
        chunks = [body[:700], body[700:]]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": raw.replace("%2F", "/").replace("%20", " "),
            "raw_path": raw.encode(),
            "query_string": query.encode(),
        }
        await self._api(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Got(sent[0]["status"], headers, sent[1]["body"])


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
        (b'{"viewer":"v","filters":{"mature":"no"}}', "filters.mature", "true or false"),
        (b'{"viewer":"v","filters":{"lang":"pt"}}', "filters.lang", "an object with language, category, mature"),
        (b'{"viewer":"v","foo":1}', "foo", "an object with viewer, limit, exclude, filters, explain"),
        (b'{"viewer":"v","exclude":[1]}', "exclude[0]", "a text of 0 to 128 characters"),
        (b"[]", "", "an object with viewer, limit, exclude, filters, explain"),
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


def test_a_body_that_is_too_large_is_refused_before_it_is_read_whole(call: Caller) -> None:
    got = call("POST", "/v1/recommend", b" " * 3_000)
    assert (got.status, got.json["allowed"]) == (413, "at most 2000 bytes")


def test_parameters_reach_the_rooms(call: Caller) -> None:
    assert call("GET", "/v1/rooms?limit=7&category=Just%20Chatting&mature=false").json == []
    assert call.answers.asked == [(7, Filters(category="Just Chatting", mature=False))]


def test_a_bad_parameter_is_a_problem(call: Caller) -> None:
    got = call("GET", "/v1/rooms?limit=many")
    assert (got.status, got.json["field"], got.json["allowed"]) == (400, "limit", "an integer from 1 to 100")


def test_an_unknown_room_is_not_found(call: Caller) -> None:
    got = call("GET", "/v1/rooms/gone")
    assert (got.status, got.json["field"]) == (404, "room")


def test_an_id_may_hold_an_escaped_slash(call: Caller) -> None:
    call("GET", "/v1/rooms/a%2Fsimilar")
    call("GET", "/v1/rooms/a%2Fb/similar?limit=2")
    assert call.answers.asked == ["a/similar", ("a/b", 2)]


def test_an_unknown_path_and_a_wrong_method_say_what_is_there(call: Caller) -> None:
    path, method = call("GET", "/v2/recommend"), call("GET", "/v1/recommend")
    assert (path.status, path.json["field"]) == (404, "path")
    assert (method.status, method.json["allowed"]) == (405, "POST")


def test_a_bug_is_a_500_that_tells_nothing(call: Caller) -> None:
    got = call("POST", "/v1/recommend", b'{"viewer":"breaks"}')
    assert (got.status, got.headers["content-type"]) == (500, CONTENT_TYPE)
    assert b"bug" not in got.body


def test_readiness_is_503_while_behind_and_says_how_far() -> None:
    assert Caller(READY)("GET", "/readyz").status == 200
    got = Caller(BEHIND)("GET", "/readyz")
    assert (got.status, got.json["lag"], got.json["reason"]) == (503, {"room-states": 900}, "still reading")
    assert Caller(BEHIND)("GET", "/healthz").status == 200


def test_head_has_the_headers_of_get_and_no_body(call: Caller) -> None:
    got = call("HEAD", "/healthz")
    assert (got.status, got.body) == (200, b"")
    assert int(got.headers["content-length"]) > 0


def test_the_openapi_document_knows_every_route_and_resolves(call: Caller) -> None:
    document = call("GET", "/openapi.json").json
    assert set(document["paths"]) == {
        *("/v1/recommend", "/v1/rooms", "/v1/rooms/{room}", "/v1/rooms/{room}/similar"),
        *("/v1/status", "/healthz", "/readyz", "/metrics"),
    }
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(document["components"]["schemas"])
    assert {"Query", "Answer", "Problem"} <= names


def test_the_documentation_page_fetches_nothing(call: Caller) -> None:
    page = call("GET", "/docs").body.decode()
    assert "/v1/recommend" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_port_out_of_range_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"http\.port is 70000"):
        HttpConfig(port=70_000)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/recommend"), ("GET", "/v1/rooms"), ("GET", "/v1/rooms/r"), ("GET", "/v1/rooms/r/similar")],
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
