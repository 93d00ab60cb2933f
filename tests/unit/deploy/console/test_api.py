"""The console's way to the API over real HTTP: what is refused is said, and is no failure of the system."""

from __future__ import annotations

import asyncio

import pytest

from deploy.console.api import Api, as_curl
from deploy.http.client import NoAccess
from tests.console_api import FakeApi, Stage
from tests.unit.deploy.console.console_world import rule
from tidecast_client import RuleBody


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
