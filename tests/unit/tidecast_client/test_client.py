"""What the client does with answers, failures and long batches, against a transport that answers as it is told."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.console_api import FakeApi
from tests.console_api import Stage as Served
from tidecast_client import (
    NO_RETRIES,
    AsyncClient,
    BadRequest,
    Call,
    ChatMessage,
    Client,
    ClientError,
    KeyReused,
    NoAccess,
    NotFound,
    NotNow,
    NotReachable,
    Query,
    Retries,
    ServerError,
    UnexpectedAnswer,
)
from tidecast_client.batch import MAX_BYTES, MAX_RECORDS, bodies
from tidecast_client.call import seconds

URL = "http://tidecast.test"
READY = {"ready": True, "reason": "", "lag": {}, "contact_age_s": 0.1, "live_rooms": 3}
Handler = Callable[[httpx.Request], httpx.Response]


class Stage:
    """A server that answers what it is told, one after the other, the last for ever; and the waits between."""

    def __init__(self, *answers: httpx.Response | Exception | Handler) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def client(self, **given: Any) -> Client:
        return Client(URL, transport=httpx.MockTransport(self.handle), sleep=self.waits.append, **given)

    def run(self, ask: Callable[[AsyncClient], Any], **given: Any) -> Any:
        async def slept(wait_s: float) -> None:
            self.waits.append(wait_s)

        async def run() -> Any:
            transport = httpx.MockTransport(self.handle)
            async with AsyncClient(URL, transport=transport, sleep=slept, **given) as client:
                return await ask(client)

        return asyncio.run(run())


def problem(status: int, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    body = {"type": "/docs#problems", "title": "T", "status": status, "detail": "it is so", **fields}
    return httpx.Response(status, json=body, headers=headers)


def verdicts(request: httpx.Request) -> httpx.Response:
    """Takes every record but those that say "bad"."""
    lines = unpacked(request).splitlines()
    wrong = {"reason": "malformed", "detail": "bad", "field": "text", "allowed": "good"}
    each: list[dict[str, Any]] = [
        {"index": index, "accepted": b'"bad"' not in line} | ({"problem": wrong} if b'"bad"' in line else {})
        for index, line in enumerate(lines)
    ]
    accepted = sum(one["accepted"] for one in each)
    body = {"accepted": accepted, "refused": len(lines) - accepted, "verdicts": each}
    if not accepted:
        return problem(422, **body)
    return httpx.Response(207 if len(lines) > accepted else 200, json=body)


def unpacked(request: httpx.Request) -> bytes:
    return gzip.decompress(request.content) if "content-encoding" in request.headers else request.content


def chat(number: int, text: str = "hello") -> ChatMessage:
    return ChatMessage(room="r", viewer=f"v{number}", text=text, at_ms=1_700_000_000_000 + number)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, BadRequest), (413, BadRequest), (415, BadRequest), (401, NoAccess), (403, NoAccess)),
        *((404, NotFound), (409, KeyReused), (408, NotNow), (429, NotNow), (502, NotNow), (503, NotNow)),
        *((504, NotNow), (500, ServerError), (405, ServerError)),
    ],
)
def test_a_problem_is_an_exception_with_what_it_says(status: int, kind: type[ClientError]) -> None:
    stage = Stage(problem(status, field="filters.tag", allowed="a tag"))
    with stage.client(retries=NO_RETRIES) as client, pytest.raises(kind, match=r"it is so .* a tag") as caught:
        client.room("r")
    assert isinstance(caught.value, ClientError)
    assert (caught.value.status, caught.value.field, caught.value.allowed) == (status, "filters.tag", "a tag")  # type: ignore[attr-defined]
    with pytest.raises(kind):
        stage.run(lambda client: client.room("r"), retries=NO_RETRIES)


def test_what_does_not_come_from_the_api_is_said_not_to() -> None:
    for answer in (httpx.Response(404, text="Path not found"), httpx.Response(200, text="<html>")):
        with Stage(answer).client() as client, pytest.raises(UnexpectedAnswer, match="/v1/rooms/r answers"):
            client.room("r")
    stage = Stage(httpx.Response(502, text="bad gateway"), httpx.Response(200, json=READY))
    with stage.client() as client:
        assert client.readiness().live_rooms == 3
    assert len(stage.requests) == 2


def test_the_key_goes_with_every_request_and_an_id_is_one_segment() -> None:
    stage = Stage(problem(404))
    with stage.client(key="tc_x") as client, pytest.raises(NotFound):
        client.similar_rooms("a/b ü?", limit=3, tags=["x", "y"], mature=True)
    (request,) = stage.requests
    assert request.headers["authorization"] == "Bearer tc_x"
    assert request.url.raw_path.startswith(b"/v1/rooms/a%2Fb%20%C3%BC%3F/similar?limit=3")
    assert dict(request.url.params) == {"limit": "3", "tags": "x,y", "mature": "true", "tags_match": "all"}


def test_a_query_says_only_what_was_said() -> None:
    stage = Stage(problem(404))
    with stage.client() as client, pytest.raises(NotFound):
        client.recommend("v")
    assert json.loads(stage.requests[0].content) == {"viewer": "v"}


@pytest.mark.parametrize(
    "failure", [httpx.ReadError("reset"), httpx.ReadTimeout("late"), problem(503)], ids=["broken", "late", "503"]
)
def test_what_reads_is_asked_again_within_bounds(failure: httpx.Response | Exception) -> None:
    stage = Stage(failure)
    with stage.client(retries=Retries(most=2)) as client, pytest.raises((NotReachable, NotNow)):
        client.rank("v", rooms=["r"])
    assert len(stage.requests) == 3
    first, second = stage.waits
    assert 0.05 <= first <= 0.1 <= second <= 0.2
    stage = Stage(failure, httpx.Response(200, json=READY))
    assert stage.run(lambda client: client.readiness()).live_rooms == 3


def test_retry_after_is_obeyed_and_one_that_is_too_long_ends_it() -> None:
    stage = Stage(problem(429, {"retry-after": "2"}), httpx.Response(200, json=READY))
    with stage.client() as client:
        assert client.readiness().ready
    assert 2.0 <= stage.waits[0] <= 2.1
    stage = Stage(problem(429, {"retry-after": "3600"}))
    with stage.client() as client, pytest.raises(NotNow) as caught:
        client.rooms()
    assert (len(stage.requests), stage.waits, caught.value.retry_after_s) == (1, [], 3600.0)
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert seconds("soon") is None
    assert seconds("") is None


def test_what_may_have_been_done_is_not_done_twice_without_a_key() -> None:
    once = Call("POST", "/v1/unknown", dict[str, str], body=b"{}", repeatable=False)
    for failure in (httpx.ReadError("reset"), problem(503), problem(502)):
        stage = Stage(failure)
        with stage.client() as client, pytest.raises((NotReachable, NotNow)):
            client.ask(once)
        assert len(stage.requests) == 1
    for failure in (httpx.ConnectError("refused"), problem(429), problem(503, may_be_written=False)):
        stage = Stage(failure, httpx.Response(200, json={}))
        with stage.client() as client:
            assert client.ask(once) == {}
        assert len(stage.requests) == 2


def test_what_is_wrong_is_not_asked_again() -> None:
    for answer in (problem(400), problem(404), problem(500), problem(403), httpx.Response(200, text="no JSON")):
        stage = Stage(answer)
        with stage.client() as client, pytest.raises(ClientError):
            client.rooms()
        assert len(stage.requests) == 1


def test_a_batch_has_one_key_a_request_and_repeats_with_the_same() -> None:
    stage = Stage(httpx.ReadError("reset"), verdicts)
    with stage.client() as client:
        done = client.write_chat([chat(1), chat(2, "bad"), chat(3)])
    assert (done.accepted, done.refused, [one.accepted for one in done.verdicts]) == (2, 1, [True, False, True])
    first, again = stage.requests
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"]
    assert first.content == again.content
    assert first.headers["content-type"] == "application/x-ndjson"
    assert json.loads(first.content.splitlines()[0]) == {
        "type": "chat", "room": "r", "viewer": "v1", "text": "hello", "at_ms": 1_700_000_000_001
    }  # fmt: skip


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_long_batch_is_several_requests_and_one_list_of_verdicts(asynchronous: bool) -> None:
    stage, count = Stage(verdicts), 2 * MAX_RECORDS + 5
    records = (chat(number, "bad" if number >= 2 * MAX_RECORDS else "hello") for number in range(count))
    if asynchronous:
        done = stage.run(lambda client: client.write_chat(records, idempotency_key="k"))
    else:
        with stage.client() as client:
            done = client.write_chat(records, idempotency_key="k")
    assert [request.headers["idempotency-key"] for request in stage.requests] == ["k", "k.1", "k.2"]
    assert [len(unpacked(request).splitlines()) for request in stage.requests] == [MAX_RECORDS, MAX_RECORDS, 5]
    assert stage.requests[0].headers["content-encoding"] == "gzip"
    assert (done.accepted, done.refused) == (2 * MAX_RECORDS, 5)  # the last five alone: 422
    assert [one.index for one in done.verdicts] == list(range(count))
    assert [one.index for one in done.verdicts if not one.accepted] == list(range(2 * MAX_RECORDS, count))


def test_a_batch_that_fails_half_way_says_with_which_key_to_go_on() -> None:
    stage = Stage(verdicts, httpx.ReadError("reset"))
    with stage.client(retries=NO_RETRIES) as client, pytest.raises(NotReachable) as caught:
        client.write_chat([chat(number) for number in range(MAX_RECORDS + 1)])
    assert caught.value.idempotency_key == stage.requests[0].headers["idempotency-key"]


def test_bodies_are_bounded_in_bytes_and_read_no_further_than_they_give() -> None:
    drawn: list[int] = []

    def records() -> Any:
        for number in range(100):
            drawn.append(number)
            yield {"text": "x" * 40_000}

    first = next(bodies(records()))
    assert len(first) <= MAX_BYTES
    assert len(drawn) < 45
    long = {"text": "x" * (MAX_BYTES + 1)}
    assert [len(body.splitlines()) for body in bodies([{"a": 1}, long, {"b": 2}])] == [1, 1, 1]


def test_pages_end_where_the_cursor_does() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        cursor = json.loads(request.content)["cursor"]
        body = {
            "request_id": "q",
            "viewer": "v",
            "known": False,
            "model_version": "v0",
            "generated_at_ms": 1,
            "live_rooms": 0,
        }
        return httpx.Response(200, json={**body, "rooms": [], "cursor": {"": "a", "a": "b", "b": None}[cursor]})

    stage = Stage(page)
    with stage.client() as client:
        assert [answer.cursor for answer in client.recommend_pages("v", limit=2)] == ["a", "b", None]

    async def pages(client: AsyncClient) -> list[Any]:
        return [answer.cursor async for answer in client.recommend_pages("v")]

    assert stage.run(pages) == ["a", "b", None]


def test_a_batch_of_queries_is_sent_as_said() -> None:
    stage = Stage(
        httpx.Response(200, json={"results": [{"problem": {"type": "", "title": "", "status": 400, "detail": "d"}}]})
    )
    with stage.client() as client:
        (result,) = client.recommend_batch([Query(viewer="a"), Query(viewer="b", limit=3)]).results
    assert not result.answer
    assert result.problem
    assert result.problem.status == 400
    assert json.loads(stage.requests[0].content) == {"queries": [{"viewer": "a"}, {"viewer": "b", "limit": 3}]}


def test_bounds_of_retries_are_checked() -> None:
    with pytest.raises(ValueError, match="negative"):
        Retries(most=-1)


def test_proxies_of_the_environment_count_unless_they_are_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FakeApi(Served(rooms=2)) as api:
        with Client(api.url, env_proxies=False) as client:
            assert len(client.rooms()) == 2
        with Client(api.url, retries=NO_RETRIES) as client, pytest.raises(NotReachable):
            client.rooms()
