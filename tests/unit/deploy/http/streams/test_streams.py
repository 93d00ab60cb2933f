"""Tests of what the clients of streams are sent, and when."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from actors.recommend.schema import Answer
from actors.streams import event_id
from deploy.config.stream_settings import StreamConfig
from deploy.http.problem import RefusedError
from streaming.events import ViewerRule
from streaming.log.codec import encode
from streaming.log.topics import RULES, VIEWER_PROFILES
from streaming.operator_rule import OperatorRule
from tests.unit.actors.fake_version import FakeVersion
from tests.unit.actors.recommend.test_lists import put_live
from tests.unit.deploy.http.streams.watched_replica import HELD, QUICK, Client, Watched, until

ROOMS = [f"room-{number}" for number in range(5)]


def run(test: Callable[[Watched], Awaitable[None]], config: StreamConfig = QUICK, **given: Any) -> Watched:
    """Runs a test on a loop, and ends what it has opened."""

    async def whole() -> Watched:
        watched = Watched(config, **given)
        try:
            await test(watched)
        finally:
            watched.streams.end()
            await until(lambda: not len(watched.streams))
        return watched

    return asyncio.run(whole())


def test_a_client_is_sent_its_list_at_first_and_nothing_while_nothing_changes() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        assert client.text.startswith(b"retry: ")
        assert client.lists == [ROOMS]
        await watched.looked()
        assert client.lists == [ROOMS]
        assert msgspec.convert(client.events[0].data, Answer).viewer == "v"

    watched = run(test)
    assert watched.metrics.value("stream_lists_total", cause="first") == 1
    assert len(watched.impressions) == 1, "a list that is computed and not pushed is no impression"


def test_a_new_room_is_pushed_when_it_has_been_in_the_list_for_long_enough() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        watched.room("hot", entered=500)
        await until(lambda: len(client.lists) == 2)
        assert client.lists[-1] == ["hot", *ROOMS[:4]]

    watched = run(test)
    assert watched.metrics.value("stream_lists_total", cause="change") == 1
    assert len(watched.impressions) == 2


def test_what_has_not_been_so_for_long_enough_is_not_pushed() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        watched.room("hot", entered=500)
        await watched.looked()
        assert client.lists == [ROOMS]
        watched.room("hot", entered=0)  # as before: it has to be so for long enough anew
        await watched.looked()
        assert client.stream.differs_since_s == 0

    run(test, HELD)


def test_a_room_that_ended_is_taken_out_at_once_and_a_list_without_it_follows() -> None:
    async def test(watched: Watched) -> None:
        client, other = watched.client(), watched.client("other", limit=1)
        await until(lambda: client.lists and other.lists)
        watched.end("room-3")
        await until(lambda: len(client.events) == 3)
        ended, after = client.events[1:]
        assert (ended.kind, ended.rooms) == ("ended", ["room-3"])
        assert after.rooms == ["room-0", "room-1", "room-2", "room-4", "room-5"]
        assert len({event.id for event in client.events}) == 3
        assert len(other.events) == 1, "the room was not in this one's list"

    watched = run(test, HELD)
    assert watched.metrics.value("stream_ends_total") == 1
    assert watched.metrics.value("stream_lists_total", cause="ended") == 1


def test_what_a_viewer_does_changes_their_list_at_once() -> None:
    async def test(watched: Watched) -> None:
        client, other = watched.client(), watched.client("other")
        await until(lambda: client.lists and other.lists)
        watched.replica.viewer("v", "room-8")
        await until(lambda: len(client.lists) == 2)
        assert client.lists[-1][0] == "room-8"
        assert other.lists == [ROOMS]

    watched = run(test, HELD)
    assert watched.metrics.value("stream_lists_total", cause="viewer") == 1


def test_a_viewers_rule_holds_at_once() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        rule = ViewerRule("hide", "room-0", watched.replica.clock.now_ms(), True)
        watched.replica.viewer("v", rules=[rule])
        await until(lambda: len(client.lists) == 2)
        assert client.lists[-1] == [*ROOMS[1:], "room-5"]

    run(test, HELD)


def test_an_operators_rule_reaches_a_list_though_no_room_changes() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        rule = OperatorRule(name="r", action="hide", at_ms=watched.replica.clock.now_ms(), rooms=("room-0",))
        watched.replica.send(RULES, rule.name, encode(rule))
        await until(lambda: len(client.lists) == 2)
        assert client.lists[-1] == [*ROOMS[1:], "room-5"]

    run(test)


def test_lists_are_looked_at_when_another_version_goes_live() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        assert client.events[0].data["model_version"] == "v0"
        watched.replica.tables.current = True
        put_live(watched.replica, FakeVersion("one"))
        looks = watched.metrics.value("stream_looks_total")
        await until(lambda: watched.metrics.value("stream_looks_total") > looks)

    run(test)


def test_an_erased_viewer_is_shown_what_strangers_are() -> None:
    async def test(watched: Watched) -> None:
        watched.replica.tables.current = True
        watched.replica.viewer("v", "room-8")
        client = watched.client()
        await until(lambda: client.lists)
        assert client.lists[0][0] == "room-8"
        watched.replica.send(VIEWER_PROFILES, "v", None)
        await until(lambda: len(client.lists) == 2)
        assert client.lists[-1] == ROOMS
        assert client.events[-1].data["known"] is False

    run(test, HELD)


def test_another_replica_goes_on_where_the_client_is_and_repeats_no_list() -> None:
    ids: list[str] = []

    async def first(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        ids.append(client.events[0].id)

    async def second(watched: Watched) -> None:
        client = watched.client(last_event_id=ids[0])
        await watched.looked()
        assert client.events == []
        watched.end("room-3")
        await until(lambda: len(client.events) == 2)
        assert [event.kind for event in client.events] == ["ended", "list"]

    run(first)
    watched = run(second)
    assert watched.metrics.value("stream_resumes_total", outcome="same") == 1


def test_a_client_that_was_away_while_its_list_changed_is_sent_the_new_one() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        had = client.events[0].id
        client.stream.close("left")
        await client.task
        watched.end("room-0")
        again = watched.client(last_event_id=had)
        await until(lambda: again.lists)
        assert again.lists == [[*ROOMS[1:], "room-5"]]

    watched = run(test, HELD)
    assert watched.metrics.value("stream_resumes_total", outcome="changed") == 1
    assert watched.metrics.value("stream_lists_total", cause="resumed") == 1


@pytest.mark.parametrize("text", ["nonsense", "of another viewer"])
def test_an_id_that_says_nothing_is_none(text: str) -> None:
    async def test(watched: Watched) -> None:
        other = watched.client("other")
        await until(lambda: other.lists)
        client = watched.client(last_event_id=other.events[0].id if text == "of another viewer" else text)
        await until(lambda: client.lists)
        assert client.lists == [ROOMS]

    watched = run(test)
    assert watched.metrics.value("stream_resumes_total", outcome="unknown") == 1


def test_a_client_that_does_not_read_misses_lists_and_gets_the_newest() -> None:
    async def test(watched: Watched) -> None:
        slow, quick = watched.client("slow"), watched.client("quick")
        await until(lambda: slow.lists and quick.lists)
        slow.reads.clear()
        watched.end("room-0")
        await until(lambda: len(quick.events) == 3)
        watched.end("room-1")
        await until(lambda: len(quick.events) == 5)
        assert len(slow.text) < len(quick.text)
        slow.reads.set()
        await until(lambda: slow.lists[-1] == quick.lists[-1])
        assert len(slow.events) < len(quick.events), "what was in between is dropped"

    run(test)


def test_a_client_that_never_reads_is_closed() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        client.reads.clear()
        await client.task

    watched = run(test, StreamConfig(patience_s=0.01))
    assert watched.metrics.value("streams_closed_total", reason="blocked") == 1


def test_a_silent_stream_is_kept_alive() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.heartbeats >= 3)
        assert client.lists == [ROOMS]

    watched = run(test, StreamConfig(heartbeat_s=0.01))
    assert watched.metrics.value("stream_heartbeats_total") >= 3


@pytest.mark.parametrize("by", ["setting", "wish"])
def test_a_stream_ends_after_a_while(by: str) -> None:
    async def test(watched: Watched) -> None:
        wished = 0.01 if by == "wish" else None
        client = Client(watched.streams, watched.client().stream.query, max_s=wished)
        await client.task

    watched = run(test, StreamConfig(max_s=0.01 if by == "setting" else 900.0))
    assert watched.metrics.value("streams_closed_total", reason="over") >= 1


def test_more_streams_than_there_may_be_are_refused_until_one_ends() -> None:
    async def test(watched: Watched) -> None:
        clients = [watched.client(f"v{number}") for number in range(2)]
        await until(lambda: len(watched.streams) == 2)
        with pytest.raises(RefusedError) as refused:
            watched.client("w")
        assert refused.value.problem.status == 503
        assert dict(refused.value.headers)[b"retry-after"].isdigit()
        clients[0].stream.close("left")
        await clients[0].task
        watched.client("w")

    watched = run(test, StreamConfig(most=2))
    assert watched.metrics.value("streams_refused_total", reason="full") == 1


def test_a_viewer_has_ten_streams_and_no_more() -> None:
    async def test(watched: Watched) -> None:
        for _ in range(10):
            watched.client()
        await until(lambda: len(watched.streams) == 10)
        with pytest.raises(RefusedError) as refused:
            watched.client()
        assert refused.value.problem.status == 429
        watched.client("another")

    run(test)


def test_a_replica_that_ends_has_its_clients_come_back_elsewhere() -> None:
    async def test(watched: Watched) -> None:
        clients = [watched.client(f"v{number}") for number in range(3)]
        await until(lambda: all(client.lists for client in clients))
        watched.streams.end()
        await asyncio.gather(*(client.task for client in clients))
        with pytest.raises(RefusedError) as refused:
            watched.client()
        assert refused.value.problem.status == 503

    watched = run(test)
    assert watched.metrics.value("streams_closed_total", reason="ending") == 3


def test_a_list_that_cannot_be_computed_costs_nobody_else_theirs(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(watched: Watched) -> None:
        computed = watched.replica.recommender.recommend_news

        def fails(query: Any, *rest: Any) -> bytes | None:
            if query.viewer == "breaks":
                raise ZeroDivisionError("a bug")
            return computed(query, *rest)

        monkeypatch.setattr(watched.replica.recommender, "recommend_news", fails)
        breaks, works = watched.client("breaks"), watched.client("works")
        await until(lambda: works.lists)
        monkeypatch.undo()
        watched.replica.viewer("breaks", "room-8")
        await until(lambda: breaks.lists)

    with caplog.at_level(logging.ERROR):
        watched = run(test)
    assert watched.metrics.value("stream_looks_total", outcome="failed") >= 1
    assert caplog.text.count("could not be computed") == 1, "once a stream"


def test_nothing_of_the_tables_is_noted_while_nobody_watches() -> None:
    async def test(watched: Watched) -> None:
        tables = watched.replica.tables
        before = len(tables.on_forgotten)
        client = watched.client()
        await until(lambda: client.lists)
        assert (len(tables.on_profile), len(tables.rooms.on_gone)) == (1, 1)
        client.stream.close("left")
        await client.task
        assert (len(tables.on_profile), len(tables.rooms.on_gone), len(tables.on_forgotten)) == (0, 0, before)
        assert tables.rooms._journals == []

    run(test)


def test_the_id_of_an_event_has_the_rooms_that_the_client_has() -> None:
    async def test(watched: Watched) -> None:
        client = watched.client()
        await until(lambda: client.lists)
        held = event_id.read(client.events[0].id, client.stream.question)
        assert held == client.stream.held
        assert len(held or ()) == 5

    run(test)
