"""The console's way to the API over real HTTP: what is refused is said, and is no failure of the system."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec import UNSET

from deploy.console.api import FOUND, Api, as_curl, search_url
from deploy.http.client import NoAccess
from streaming.errors import RequestError
from tests.console_api import FakeApi, Stage
from tests.unit.deploy.console.console_world import rule
from tidecast_client import Query, RuleBody, Steer, Steered


@pytest.mark.parametrize("key_refused", [False, True])
def test_why_no_chat_is_taken_is_an_answer_also_where_it_is_the_key(key_refused: bool) -> None:
    stage = Stage(rooms=3)

    async def asked(url: str, admin_url: str) -> None:
        api = Api(url, admin_url, "tc_key")
        assert await api.chat_refusal() == ""
        stage.refusal, stage.key_refused = "nobody may write here", key_refused
        assert (await api.chat_refusal()).startswith("nobody may write here")
        await api.close()

    with FakeApi(stage) as served:
        asyncio.run(asked(served.url, served.admin_url))


def test_rules_are_listed_and_one_that_is_not_there_is_none() -> None:
    stage = Stage(rules={"finals": rule("finals")})

    async def asked(url: str, admin_url: str) -> None:
        api = Api(url, admin_url)
        assert [one.name for one in await api.rules()] == ["finals"]
        found = await api.rule("finals")
        assert found is not None
        assert found.action == "boost"
        assert await api.rule("other") is None
        stage.names_viewers = False
        with pytest.raises(NoAccess, match="needs admin"):
            await api.rules()
        await api.close()

    with FakeApi(stage) as served:
        asyncio.run(asked(served.url, served.admin_url))


def test_a_rule_as_curl_has_its_method_and_no_defaults() -> None:
    body = RuleBody(action="hide", rooms=["it's"])
    assert as_curl("http://h/v1/rules/r", body, "PUT") == (
        """curl -s -X PUT http://h/v1/rules/r -d '{"action":"hide","rooms":["it'"'"'s"]}'"""
    )
    assert as_curl("http://h/v1/rules") == "curl -s http://h/v1/rules"


def test_a_list_is_compared_with_itself_without_the_steer_by_one_request() -> None:
    stage = Stage(rooms=30)
    steered = Query(viewer="v000017", steer=Steer(text="chess"), explain=True, shown=False)

    async def asked(url: str, admin_url: str) -> None:
        api = Api(url, admin_url)
        compared = await api.compare(steered)
        plain = await api.recommend(msgspec.structs.replace(steered, steer=None))
        assert [item.room for item in compared.without.rooms] == [item.room for item in plain.rooms]
        assert [item.room for item in compared.steered.rooms] != [item.room for item in plain.rooms]
        assert (compared.without.steer, compared.steered.steer) == (UNSET, Steered(text="used", ended=[], unknown=[]))
        with pytest.raises(RequestError) as refused:
            await api.compare(msgspec.structs.replace(steered, viewer="x" * 200))
        assert (refused.value.field, refused.value.allowed) == ("viewer", "a short id")
        await api.close()

    with FakeApi(stage) as served:
        asyncio.run(asked(served.url, served.admin_url))
    assert stage.asked["/v1/recommend:batch"] == 2


def test_rooms_are_found_by_a_text_of_any_script() -> None:
    async def asked(url: str, admin_url: str) -> None:
        api = Api(url, admin_url)
        found = await api.search("Ночной кабина a&b")
        assert found.text == "Ночной кабина a&b"
        assert len(found.rooms) == FOUND
        assert found.rooms[0].title.startswith("Ночной поезд")
        await api.close()

    with FakeApi(Stage(rooms=30)) as served:
        asyncio.run(asked(served.url, served.admin_url))
    assert search_url("http://h", "Ночь & co?") == "http://h/v1/search?q=%D0%9D%D0%BE%D1%87%D1%8C+%26+co%3F&limit=10"
