"""Server-sent events: what is read from a connection, and how a stream goes on over the next one."""

from __future__ import annotations

import asyncio
import itertools

import httpx
import pytest

from tests.unit.tidecast_client.test_client import Stage, problem
from tidecast_client import AsyncClient, Call, Client, Event, NotNow, NotReachable, Retries, UnexpectedAnswer
from tidecast_client.event_stream import MEDIA

ANSWER = (
    '{"request_id":"q","viewer":"v","known":false,"model_version":"v0","generated_at_ms":1,"live_rooms":2,"rooms":[]}'
)
STREAM = Call("GET", "/v1/stream/v", Event, query={"limit": "3"})


def sent(*lines: str, retry_ms: int = 250) -> httpx.Response:
    text = "\n".join([f"retry: {retry_ms}", "", *lines, ""])
    return httpx.Response(200, text=text, headers={"content-type": MEDIA})


def event(name: str, key: str, data: str) -> list[str]:
    return [f"event: {name}", f"id: {key}", f"data: {data}", ""]


def taken(stage: Stage, count: int, *, asynchronous: bool) -> list[Event]:
    if not asynchronous:
        with stage.client() as client:
            return [*itertools.islice(client.events(STREAM), count)]

    async def take(client: AsyncClient) -> list[Event]:
        found: list[Event] = []
        async for one in client.events(STREAM):
            found.append(one)
            if len(found) == count:
                break
        return found

    return stage.run(take)  # type: ignore[no-any-return]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_stream_goes_on_with_the_id_of_its_last_event(asynchronous: bool) -> None:
    first = sent(
        *event("list", "a", ANSWER), ":", *event("ended", "b", '{"rooms":["r1"]}'), "event: list", "data: half"
    )
    stage = Stage(
        first, httpx.ReadError("reset"), problem(503, {"retry-after": "2"}), sent(*event("list", "c", ANSWER))
    )
    found = taken(stage, 3, asynchronous=asynchronous)
    assert [(one.name, one.id) for one in found] == [("list", "a"), ("ended", "b"), ("list", "c")]
    assert found[0].answer is not None
    assert found[0].answer.live_rooms == 2
    assert (found[1].answer, found[1].ended, found[2].ended) == (None, ["r1"], [])
    assert [one.headers.get("last-event-id") for one in stage.requests] == [None, "b", "b", "b"]
    assert {one.headers["accept"] for one in stage.requests} == {MEDIA}
    assert {dict(one.url.params)["limit"] for one in stage.requests} == {"3"}
    ended, broken, busy = stage.waits
    assert ended == 0.25
    assert 0.05 <= broken <= 0.1
    assert busy >= 2.0


def test_failures_in_a_row_end_it_and_an_event_between_them_counts_anew() -> None:
    broken = httpx.ConnectError("refused")
    with Stage(broken).client(retries=Retries(most=2)) as client, pytest.raises(NotReachable):
        next(client.events(STREAM))
    stage = Stage(
        *[one for n in range(5) for one in (broken, broken, sent(*event("list", str(n), ANSWER)))], problem(503)
    )
    with stage.client(retries=Retries(most=2)) as client:
        stream = client.events(STREAM)
        assert [one.id for one in itertools.islice(stream, 5)] == list("01234")
        with pytest.raises(NotNow):
            next(stream)


def test_what_is_refused_or_cannot_be_read_is_said() -> None:
    with Stage(problem(400, field="limit")).client() as client, pytest.raises(Exception, match="field limit"):
        next(client.events(STREAM))
    with Stage(sent(*event("list", "a", "{}"))).client() as client, pytest.raises(UnexpectedAnswer, match="event list"):
        next(client.events(STREAM)).answer  # noqa: B018  reading is what fails


def test_the_format_is_that_of_the_standard() -> None:
    lines = ["data: one", "data:two", "id: a\0b", "what: nobody knows", "retry: soon", "", "data", "", "event: x", ""]
    first, second = taken(Stage(sent(*lines, retry_ms=0)), 2, asynchronous=False)
    assert (first.name, first.data, first.id) == ("message", "one\ntwo", "")
    assert second.data == ""


def test_a_client_is_closed_while_a_stream_is_open() -> None:
    async def run() -> None:
        stage = Stage(sent(*event("list", "a", ANSWER)))
        async with AsyncClient("http://t", transport=httpx.MockTransport(stage.handle)) as client:
            stream = client.events(STREAM)
            assert (await anext(stream)).id == "a"
            await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(run())
    with Client("http://t", transport=httpx.MockTransport(Stage(sent()).handle)) as client:
        assert client.url == "http://t"
